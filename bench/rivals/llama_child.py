"""llama.cpp's side of bench/rivals, through the C functions that llama-cpp-python binds: one prompt after the other, since with T5's
bias this llama.cpp takes one sequence a batch (an assertion says so)."""

import json
import sys
from importlib.metadata import version

import llama_cpp
import numpy as np
from serve import serve

arguments = json.loads(sys.argv[1])
prompts, threads = arguments["ids"], arguments["threads"]
tokens = len(prompts[0])


@llama_cpp.llama_log_callback
def quiet(level, text, data):
    pass


llama_cpp.llama_log_set(quiet, None)
llama_cpp.llama_backend_init()
model = llama_cpp.llama_model_load_from_file(arguments["model"].encode(), llama_cpp.llama_model_default_params())
if model is None:
    sys.exit(f"{arguments['model']}: llama.cpp does not load it")
settings = llama_cpp.llama_context_default_params()
settings.n_ctx = settings.n_batch = settings.n_ubatch = tokens
settings.n_threads = settings.n_threads_batch = threads
settings.embeddings = True
settings.pooling_type = llama_cpp.LLAMA_POOLING_TYPE_NONE
context = llama_cpp.llama_init_from_model(model, settings)
if context is None:
    sys.exit(f"{arguments['model']}: llama.cpp makes no context")
width = llama_cpp.llama_model_n_embd(model)
batch = llama_cpp.llama_batch_init(tokens, 0, 1)


def encode(prompt):
    batch.n_tokens = tokens
    for i, token in enumerate(prompt):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
    if llama_cpp.llama_encode(context, batch) != 0:
        sys.exit("llama_encode failed")
    return np.ctypeslib.as_array(llama_cpp.llama_get_embeddings(context), (tokens, width)).copy()


def forward():
    return np.stack([encode(prompt) for prompt in prompts])


built_for = [part.split("=")[0].strip() for part in llama_cpp.llama_print_system_info().decode().split("|") if "= 1" in part]
serve(f"llama-cpp-python {version('llama-cpp-python')}, built here ({' '.join(built_for)})", forward)
