"""PyTorch's side of bench/rivals: transformers' T5EncoderModel, or torch_t5.py's where transformers is not installed; eager, or
compiled by inductor with its weights frozen and prepacked, for one shape; in f32, in bf16, or by torchao in int8 (weights by row,
activations by token, at run time)."""

import json
import sys

import torch
from serve import serve

try:
    import transformers
except ImportError:
    transformers = None

arguments = json.loads(sys.argv[1])
torch.set_num_threads(arguments["threads"])
dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "int8": torch.float32}[arguments["precision"]]
ids = torch.tensor(arguments["ids"])
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

if arguments["precision"] == "int8":
    import torchao
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    version = f"{torchao.__version__}, PyTorch {version}"
if arguments["compiled"]:
    import torch._inductor.config

    torch._inductor.config.freezing = True
    model = torch.compile(model, dynamic=False)


@torch.no_grad()  # under inference_mode nothing is frozen
def forward():
    return encode().float().numpy()


serve(version, forward)
