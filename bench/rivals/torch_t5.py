"""T5's encoder in PyTorch's operators, for where transformers is not installed (Debian's PyTorch, say). Rounded where
transformers rounds: everything in the weights' type but the norms' squares and the softmax. q, k, v and wi_0, wi_1 are one
product each, which is faster than transformers' own.
"""

import json
import math

import torch
import torch.nn.functional as F

TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_safetensors(file):
    """name -> tensor (https://github.com/huggingface/safetensors#format)"""
    with open(file, "rb") as source:
        header = json.loads(source.read(int.from_bytes(source.read(8), "little")))
        data = bytearray(source.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        dtype = TYPES[entry["dtype"]]
        count = (end - begin) // torch.empty(0, dtype=dtype).element_size()
        tensors[name] = torch.frombuffer(data, dtype=dtype, count=count, offset=begin).reshape(entry["shape"])
    return tensors


def bucket(distance, buckets, max_distance):
    """Of a key at distance = key - query, bidirectional (transformers' modeling_t5.py)."""
    half = buckets // 2
    far = distance.abs()
    exact = half // 2
    place = torch.log(far.float() / exact) / math.log(max_distance / exact) * (half - exact)
    coarse = torch.min(exact + place.clamp(min=0).long(), torch.tensor(half - 1))
    return (distance > 0).long() * half + torch.where(far < exact, far, coarse)


class T5Encoder:
    def __init__(self, folder, dtype):
        with open(f"{folder}/config.json") as file:
            self.config = json.load(file)
        tensors = {name: each.to(dtype) for name, each in read_safetensors(f"{folder}/model.safetensors").items()}
        self.embedding = tensors["shared.weight"]
        self.final_norm = tensors["encoder.final_layer_norm.weight"]
        first = "encoder.block.0.layer.0.SelfAttention."
        self.bias = tensors[first + "relative_attention_bias.weight"]  # [buckets, heads]
        self.blocks = []
        for i in range(self.config["num_layers"]):
            attention, ff = (f"encoder.block.{i}.layer.{j}." for j in (0, 1))
            part = lambda name, layer: tensors[layer + name + ".weight"]
            qkv = torch.cat([part(f"SelfAttention.{each}", attention) for each in "qkv"])
            wi = torch.cat([part(f"DenseReluDense.wi_{each}", ff) for each in (0, 1)])
            norms = part("layer_norm", attention), part("layer_norm", ff)
            self.blocks.append((*norms, qkv, part("SelfAttention.o", attention), wi, part("DenseReluDense.wo", ff)))

    def norm(self, x, weight):
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.config["layer_norm_epsilon"])
        return weight * (x.float() * scale).to(x.dtype)

    def position_bias(self, tokens):
        """[1, heads, tokens, tokens]"""
        place = torch.arange(tokens)
        names = "relative_attention_num_buckets", "relative_attention_max_distance"
        found = bucket(place[None] - place[:, None], *(self.config[name] for name in names))
        return self.bias[found].permute(2, 0, 1)[None]

    def __call__(self, ids):
        """ids [batch, tokens] -> [batch, tokens, width]"""
        h = self.embedding[ids]
        bias = self.position_bias(ids.shape[1])
        for attention_norm, ff_norm, qkv, o, wi, wo in self.blocks:
            heads = F.linear(self.norm(h, attention_norm), qkv).unflatten(-1, (3, self.config["num_heads"], -1))
            q, k, v = heads.permute(2, 0, 3, 1, 4)  # each [batch, heads, tokens, head dimension]
            weights = (q @ k.transpose(-1, -2) + bias).float().softmax(-1).to(h.dtype)
            h = h + F.linear((weights @ v).transpose(1, 2).flatten(2), o)
            gate, value = F.linear(self.norm(h, ff_norm), wi).chunk(2, -1)
            h = h + F.linear(F.gelu(gate, approximate="tanh") * value, wo)
        return self.norm(h, self.final_norm)
