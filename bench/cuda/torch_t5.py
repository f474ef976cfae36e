"""PyTorch beside skrr: the T5-XXL encoder's geometry with random weights, bf16, batch 1, on one GPU.

    python bench/cuda/torch_t5.py [--json] [--blocks 24] [--tokens 77,512] [--repeats 20]

Two encoders, each eager and compiled (torch.compile, max-autotune):
  hf    transformers' T5EncoderModel (materialises the L x L bias), where transformers is installed
  sdpa  the same mathematics by hand: fused q|k|v and gate|up, scaled_dot_product_attention with the bias as its mask
Times are medians with quartiles, of CUDA events, L2 filled with something else between repeats. The stream is bf16, as
Hugging Face has it; skrr's is float32.
"""

import argparse
import json
import statistics
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    sys.exit("PyTorch was not found: pip install torch")

WIDTH, HEADS, HEAD_DIM, FF, BUCKETS = 4096, 64, 64, 10240, 32


def matrix(rows, columns):
    return torch.nn.Parameter(torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) * columns**-0.5)


def rms_norm(x, weight):
    scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + 1e-6)
    return weight * (x.float() * scale).to(x.dtype)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        inner = HEADS * HEAD_DIM
        self.norms = torch.nn.Parameter(torch.ones(2, WIDTH, device="cuda", dtype=torch.bfloat16))
        self.qkv, self.o = matrix(3 * inner, WIDTH), matrix(WIDTH, inner)
        self.gate_up, self.down = matrix(2 * FF, WIDTH), matrix(WIDTH, FF)

    def forward(self, h, bias):  # h [1, tokens, WIDTH], bias [1, HEADS, tokens, tokens]
        q, k, v = F.linear(rms_norm(h, self.norms[0]), self.qkv).unflatten(-1, (3, HEADS, HEAD_DIM)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        h = h + F.linear(mixed.transpose(1, 2).flatten(2), self.o)
        gate, up = F.linear(rms_norm(h, self.norms[1]), self.gate_up).chunk(2, -1)
        return h + F.linear(F.gelu(gate, approximate="tanh") * up, self.down)


class Encoder(torch.nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block() for _ in range(blocks))
        self.norm = torch.nn.Parameter(torch.ones(WIDTH, device="cuda", dtype=torch.bfloat16))

    def forward(self, h, bias):
        for block in self.blocks:
            h = block(h, bias)
        return rms_norm(h, self.norm)


def hugging_face(blocks):
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        d_model=WIDTH, d_kv=HEAD_DIM, d_ff=FF, num_layers=blocks, num_heads=HEADS, vocab_size=32128,
        relative_attention_num_buckets=BUCKETS, feed_forward_proj="gated-gelu", use_cache=False,
    )
    with torch.device("cuda"):
        torch.set_default_dtype(torch.bfloat16)
        model = T5EncoderModel(config).eval()
        torch.set_default_dtype(torch.float32)
    return model


def measure(work, repeats):
    """Milliseconds: median, lower and upper quartile."""
    scrub = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    times = []
    for run in range(repeats + 3):
        scrub.zero_()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        torch.cuda.synchronize()
        if run >= 3:
            times.append(begin.elapsed_time(end))
    lower, median, upper = statistics.quantiles(times, n=4)
    return median, lower, upper


def subjects(blocks):
    """(name, function of a number of tokens that returns the work to be timed)."""
    encoder = Encoder(blocks)

    def by_hand(model):
        def prepare(tokens):
            h = torch.randn(1, tokens, WIDTH, device="cuda", dtype=torch.bfloat16)
            bias = torch.randn(1, HEADS, tokens, tokens, device="cuda", dtype=torch.bfloat16)
            return lambda: model(h, bias)

        return prepare

    yield "sdpa, eager", by_hand(encoder)
    yield "sdpa, compiled", by_hand(torch.compile(encoder, mode="max-autotune"))
    try:
        model = hugging_face(blocks)
    except ImportError:
        print("without Hugging Face's own: transformers is not installed", file=sys.stderr)
        return

    def from_ids(model):
        def prepare(tokens):
            ids = torch.randint(0, 32128, (1, tokens), device="cuda")
            return lambda: model(input_ids=ids)

        return prepare

    yield "hf, eager", from_ids(model)
    yield "hf, compiled", from_ids(torch.compile(model, mode="max-autotune"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--tokens", default="77,256,512,1024")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here")
    rows = []
    with torch.inference_mode():
        for name, prepare in subjects(options.blocks):
            for tokens in map(int, options.tokens.split(",")):
                median, lower, upper = measure(prepare(tokens), options.repeats)
                rows.append({"what": name, "tokens": tokens, "ms": median, "lower": lower, "upper": upper})
                if not options.json:
                    print(f"{name:16} {tokens:6} tokens {median:9.3f} ms ({lower:.3f} to {upper:.3f})", flush=True)
    if options.json:
        device = torch.cuda.get_device_name()
        print(json.dumps({"device": device, "torch": torch.__version__, "blocks": options.blocks, "rows": rows}))


if __name__ == "__main__":
    main()
