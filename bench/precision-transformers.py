"""What Hugging Face's bf16 costs on trained weights: precision-accuracy.ts's errors, for transformers on PyTorch.

    python bench/precision-transformers.py --model FOLDER --inputs FILE --projection FILE

FILE holds inputs_embeds [prompts, tokens, width], and the projection's weight [features, width]. bf16 there means activations
too: embeddings, the residual stream, norms' results and scores are all rounded to bf16. Errors are |a - b| / |b| (L2) against
the same library in float64.
"""
import argparse

import torch
import transformers
from safetensors.torch import load_file

parser = argparse.ArgumentParser()
for name in ("model", "inputs", "projection"):
    parser.add_argument(f"--{name}", required=True)
arguments = parser.parse_args()
inputs = load_file(arguments.inputs)["inputs_embeds"]
projection = load_file(arguments.projection)["weight"].double()


def encode(dtype):
    model = transformers.T5EncoderModel.from_pretrained(arguments.model, dtype=dtype).eval()
    with torch.no_grad():
        return model(inputs_embeds=inputs.to(dtype)).last_hidden_state.double()


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


print(f"transformers {transformers.__version__}, torch {torch.__version__}, {len(inputs)} clips x {inputs.shape[1]} tokens\n")
print("| | embedding | projected features | worst clip |\n|---|---:|---:|---:|")
exact = encode(torch.float64)
features = exact @ projection.T
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    hidden = encode(dtype)
    mine = hidden @ projection.T
    worst = max(relative(a, b) for a, b in zip(mine, features))
    cells = (relative(hidden, exact), relative(mine, features), worst)
    print(f"| {str(dtype).removeprefix('torch.')} | " + " | ".join(f"{100 * x:.3f} %" for x in cells) + " |")
