"""PyTorch's side of bench/rivals, eager: transformers' T5EncoderModel, or torch_t5.py's where transformers is not installed.
It answers what serve.mjs lists."""

import json
import sys
import time

import torch

try:
    import transformers
except ImportError:
    transformers = None

arguments = json.loads(sys.argv[1])
torch.set_num_threads(arguments["threads"])
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[arguments["precision"]]
if transformers is not None:
    transformers.utils.logging.disable_progress_bar()
    model = transformers.T5EncoderModel.from_pretrained(arguments["model"], dtype=dtype).eval()
    encode = lambda: model(input_ids=ids).last_hidden_state
    version = f"{torch.__version__}, transformers {transformers.__version__}"
else:
    from torch_t5 import T5Encoder

    model = T5Encoder(arguments["model"], dtype)
    encode = lambda: model(ids)
    version = f"{torch.__version__}, its operators"
ids = torch.tensor(arguments["ids"])


@torch.inference_mode()
def forward():
    return encode().float()


def peak():
    with open("/proc/self/status") as status:
        return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def say(answer):
    print(json.dumps(answer), flush=True)


say({"ready": True, "version": version})
for line in sys.stdin:
    question = json.loads(line)
    if question["ask"] == "run":
        started = time.perf_counter()
        forward()
        say({"ms": 1000 * (time.perf_counter() - started)})
    elif question["ask"] == "output":
        forward().numpy().tofile(question["file"])
        say({})
    else:
        say({"bytes": peak()})
