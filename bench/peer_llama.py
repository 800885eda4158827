#!/usr/bin/env python3
"""llama.cpp as a peer, through the PyPI package llama-cpp-python (a native build of llama.cpp).

  peer_llama.py quantize IN OUT FTYPE [--threads N]    llama-quantize's work; prints seconds
  peer_llama.py perplexity MODEL --text FILE [--ctx N] [--chunks N] [--threads N]
  peer_llama.py speed MODEL [--threads N] [--prefill N] [--decode N]

Prints one JSON document. Perplexity follows llama.cpp's own tool: the text tokenised as a whole, chunks of --ctx
tokens, BOS put over the first token of each chunk where the model wants one, the second half scored. decode_seconds leaves
out what is computed from the logits here, which that tool does in C++ and in threads.
"""
import argparse
import ctypes
import json
import math
import sys
import time

import numpy as np
from llama_cpp import llama_cpp as L

FTYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12,
    "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "Q2_K_S": 21, "IQ4_NL": 25,
    "IQ4_XS": 30, "BF16": 32,
}


@L.llama_log_callback
def silent(level, text, user_data):
    pass


def open_model(path):
    params = L.llama_model_default_params()
    model = L.llama_model_load_from_file(path.encode(), params)
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    return model


def open_context(model, ctx, threads, logits_all):
    params = L.llama_context_default_params()
    params.n_ctx = ctx
    params.n_batch = ctx
    params.n_ubatch = min(ctx, 512)
    params.n_threads = threads
    params.n_threads_batch = threads
    del logits_all
    return L.llama_init_from_model(model, params)


def tokenize(vocab, text):
    raw = text.encode()
    out = (L.llama_token * (len(raw) + 8))()
    n = L.llama_tokenize(vocab, raw, len(raw), out, len(out), True, False)
    assert n >= 0, "tokenisation failed"
    return list(out[:n])


def quantize(args):
    params = L.llama_model_quantize_default_params()
    params.nthread = args.threads
    params.ftype = FTYPES[args.ftype.upper()]
    params.allow_requantize = True
    start = time.time()
    rc = L.llama_model_quantize(args.input.encode(), args.output.encode(), ctypes.byref(params))
    seconds = time.time() - start
    if rc != 0:
        sys.exit(f"llama_model_quantize failed with {rc}")
    return {"seconds": seconds}


def decode(context, tokens, first_position, logits_from):
    """Runs tokens in one batch; logits for those from index logits_from on."""
    n = len(tokens)
    batch = L.llama_batch_init(n, 0, 1)
    batch.n_tokens = n
    for i, token in enumerate(tokens):
        batch.token[i] = token
        batch.pos[i] = first_position + i
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = 0
        batch.logits[i] = 1 if i >= logits_from else 0
    rc = L.llama_decode(context, batch)
    L.llama_batch_free(batch)
    assert rc == 0, f"llama_decode failed with {rc}"


def clear(context):
    L.llama_memory_clear(L.llama_get_memory(context), True)


def perplexity(args):
    model = open_model(args.model)
    vocab = L.llama_model_get_vocab(model)
    n_vocab = L.llama_vocab_n_tokens(vocab)
    context = open_context(model, args.ctx, args.threads, True)
    with open(args.text, encoding="utf-8", errors="replace") as f:
        tokens = tokenize(vocab, f.read())
    chunks = len(tokens) // args.ctx
    if args.chunks > 0:
        chunks = min(chunks, args.chunks)
    add_bos = L.llama_vocab_get_add_bos(vocab)
    first = args.ctx // 2
    total, count, per_chunk, seconds = 0.0, 0, [], 0.0
    for c in range(chunks):
        part = tokens[c * args.ctx:(c + 1) * args.ctx]
        targets = list(part)
        if add_bos:
            part[0] = L.llama_vocab_bos(vocab)
        clear(context)
        start = time.time()
        decode(context, part, 0, first)
        pointer = L.llama_get_logits(context)
        seconds += time.time() - start
        rows = args.ctx - first
        logits = np.ctypeslib.as_array(pointer, shape=(rows, n_vocab))[: rows - 1].astype(np.float64)
        top = logits.max(axis=1)
        lse = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
        nll = lse - logits[np.arange(rows - 1), targets[first + 1:]]
        total += nll.sum()
        count += rows - 1
        per_chunk.append(float(nll.mean()))
    return {"perplexity": math.exp(total / count), "nll": total / count, "tokens": count, "chunks": chunks,
            "nll_per_chunk": per_chunk, "decode_seconds": seconds}


def speed(args):
    model = open_model(args.model)
    context = open_context(model, args.prefill + args.decode + 8, args.threads, False)
    prompt = [(i * 7919) % 1000 + 10 for i in range(args.prefill)]
    result = {}
    for _ in range(2):  # the first run warms up
        clear(context)
        start = time.time()
        decode(context, prompt, 0, args.prefill - 1)
        L.llama_synchronize(context)
        result["prefill_tokens_per_second"] = args.prefill / (time.time() - start)
        start = time.time()
        for i in range(args.decode):
            decode(context, [10 + i], args.prefill + i, 0)
        L.llama_synchronize(context)
        result["decode_tokens_per_second"] = args.decode / (time.time() - start)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    q = verbs.add_parser("quantize")
    q.add_argument("input")
    q.add_argument("output")
    q.add_argument("ftype")
    p = verbs.add_parser("perplexity")
    p.add_argument("model")
    p.add_argument("--text", required=True)
    p.add_argument("--ctx", type=int, default=512)
    p.add_argument("--chunks", type=int, default=-1)
    s = verbs.add_parser("speed")
    s.add_argument("model")
    s.add_argument("--prefill", type=int, default=512)
    s.add_argument("--decode", type=int, default=64)
    for v in (q, p, s):
        v.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    L.llama_log_set(silent, ctypes.c_void_p(0))
    L.llama_backend_init()
    print(json.dumps({"quantize": quantize, "perplexity": perplexity, "speed": speed}[args.verb](args)))


if __name__ == "__main__":
    main()
