#!/usr/bin/env python3
"""Asks llama.cpp which encoding each tensor gets in each of its file types, and writes golden/mixes.txt.

Needs the Python packages llama-cpp-python, gguf and numpy. The models are synthetic and tiny: llama.cpp's choice looks at
names, counts and numbers of columns only, so a tensor of 8 rows tells as much as one of 14336. With --check MODEL.gguf
FILE.gguf..., compares files that carat wrote with what llama.cpp makes of MODEL (its fallbacks allowed) instead.

Format of golden/mixes.txt, one item a line:
  case NAME architecture=A layers=N heads=H kv_heads=K experts=E     begins a model
  tensor NAME D0 D1 ...                                             shape, outermost first; '*' stands for each layer
  recipe NAME BASE [calibrated]                                     what follows are the tensors that get another encoding
  NAME ENCODING*COUNT ...                                           by layer
"""
import argparse, ctypes, itertools, os, sys, tempfile

import gguf
import llama_cpp.llama_cpp as llama
import numpy as np

FILE_TYPES = {"F32": 0, "BF16": 32, "F16": 1, "Q8_0": 7, "Q6_K": 18, "Q5_1": 9, "Q5_K_M": 17, "Q5_K_S": 16, "Q5_0": 8,
              "Q4_1": 3, "Q4_K_M": 15, "Q4_K_S": 14, "IQ4_NL": 25, "Q4_0": 2, "IQ4_XS": 30, "Q3_K_L": 13, "Q3_K_M": 12,
              "Q3_K_S": 11, "Q2_K": 10, "Q2_K_S": 21, "IQ3_M": 27, "IQ3_S": 26, "IQ3_XS": 22, "IQ3_XXS": 23, "IQ2_M": 29,
              "IQ2_S": 28, "IQ2_XS": 20, "IQ2_XXS": 19, "IQ1_M": 31, "IQ1_S": 24, "TQ2_0": 37, "TQ1_0": 36, "MXFP4_MOE": 38}

# llama.cpp insists on data for these, if not for all of their tensors.
NEED_DATA = ["Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S"]
CALIBRATED = NEED_DATA + ["Q2_K", "Q4_0", "Q5_0", "IQ4_NL", "IQ4_XS", "Q4_K_M", "IQ3_M", "IQ3_S"]


def dense(ff=256, columns=256, tied=False, bias=False, qk_norm=False, experts=0):
    e = [experts] if experts else []
    x = "_exps" if experts else ""
    t = [("token_embd.weight", [16, columns]), ("output_norm.weight", [columns])]
    if not tied:
        t.append(("output.weight", [16, columns]))
    b = "blk.*."
    t += [(b + "attn_norm.weight", [columns]), (b + "ffn_norm.weight", [columns])]
    t += [(b + f"attn_{p}.weight", [8, columns]) for p in ("q", "k", "v", "output")]
    if bias:
        t += [(b + f"attn_{p}.bias", [8]) for p in "qkv"]
    if qk_norm:
        t += [(b + f"attn_{p}_norm.weight", [32]) for p in "qk"]
    if experts:
        t.append((b + "ffn_gate_inp.weight", [experts, columns]))
    t += [(b + f"ffn_{p}{x}.weight", e + [8, columns]) for p in ("gate", "up")]
    t.append((b + f"ffn_down{x}.weight", e + [8, ff]))
    return t


FALCON = [("token_embd.weight", [16, 256]), ("output_norm.weight", [256]), ("output.weight", [16, 256]),
          ("blk.*.attn_norm.weight", [256]), ("blk.*.attn_qkv.weight", [8, 256]), ("blk.*.attn_output.weight", [8, 256]),
          ("blk.*.ffn_up.weight", [8, 256]), ("blk.*.ffn_down.weight", [8, 256])]

CASES = [  # name, architecture, layers, heads, kv_heads, experts, tensors
    ("llama-32-gqa4", "llama", 32, 32, 8, 0, dense()),
    ("llama-32-mha", "llama", 32, 32, 32, 0, dense()),
    ("llama-30-tied", "llama", 30, 9, 3, 0, dense(tied=True)),
    ("llama-80-gqa8", "llama", 80, 64, 8, 0, dense()),
    ("llama-8-experts", "llama", 32, 32, 8, 8, dense(experts=8)),
    ("llama-ragged", "llama", 30, 9, 3, 0, dense(columns=576, ff=1536, tied=True)),
    ("llama-ragged-untied", "llama", 5, 8, 4, 0, dense(columns=64, ff=172)),
    ("qwen2-24-bias", "qwen2", 24, 14, 2, 0, dense(tied=True, bias=True)),
    ("qwen2-80", "qwen2", 80, 64, 8, 0, dense(bias=True)),
    ("qwen3-28", "qwen3", 28, 16, 8, 0, dense(tied=True, qk_norm=True)),
    ("qwen3moe-48", "qwen3moe", 48, 32, 4, 128, dense(qk_norm=True, experts=128)),
    ("falcon-60", "falcon", 60, 128, 8, 0, FALCON),
]


def write_model(path, architecture, layers, heads, kv_heads, experts, tensors):
    w = gguf.GGUFWriter(path, architecture)
    w.add_block_count(layers)
    w.add_context_length(128)
    w.add_embedding_length(256)
    w.add_feed_forward_length(256)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(32)
    w.add_value_length(32)
    w.add_vocab_size(16)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_layer_norm_eps(1e-5)
    if experts:
        w.add_expert_count(experts)
        w.add_expert_used_count(2)
        w.add_expert_feed_forward_length(256)
    rng = np.random.default_rng(1)
    for name, shape in tensors:
        for layer in range(layers) if "*" in name else [0]:
            data = rng.standard_normal(shape).astype(np.float32)
            w.add_tensor(name.replace("*", str(layer)), data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def importance(tensors, layers):
    """Uniform importance data for every tensor, as llama.cpp's API takes it."""
    names = [(n.replace("*", str(i)), shape) for n, shape in tensors for i in (range(layers) if "*" in n else [0])]
    entries = (llama.llama_model_imatrix_data * (len(names) + 1))()
    for entry, (name, shape) in zip(entries, names):
        n = shape[-1] * (shape[0] if len(shape) == 3 else 1)
        entry.name, entry.data, entry.size = name.encode(), (ctypes.c_float * n)(*[1.0] * n), n
    return entries


def quantize(source, target, file_type, imatrix=None):
    params = llama.llama_model_quantize_default_params()
    params.ftype = file_type
    params.allow_requantize = True
    params.nthread = 1
    if imatrix is not None:
        params.imatrix = imatrix
    code = llama.llama_model_quantize(source.encode(), target.encode(), params)
    return code == 0


def types_of(path):
    return {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}


def encodings_by_layer(types, name, layers):
    each = [types[name.replace("*", str(i))] for i in range(layers)] if "*" in name else [types[name]]
    return " ".join(f"{k}*{len(list(g))}" for k, g in itertools.groupby(each)), set(each)


def make_golden(out):
    base = {n: n[:-2] if n[0] == "Q" and n.endswith(("_S", "_M", "_L")) else n for n in FILE_TYPES}
    base |= {"IQ2_S": "IQ2_XS", "IQ2_M": "IQ2_S", "IQ3_XS": "IQ3_S", "IQ3_M": "IQ3_S"}
    print("# Made by tools/oracle_recipes.py from llama.cpp's own choices; see there for the format.", file=out)
    with tempfile.TemporaryDirectory() as folder:
        for case, architecture, layers, heads, kv_heads, experts, tensors in CASES:
            source, target = os.path.join(folder, "in.gguf"), os.path.join(folder, "out.gguf")
            write_model(source, architecture, layers, heads, kv_heads, experts, tensors)
            print(f"case {case} architecture={architecture} layers={layers} heads={heads} kv_heads={kv_heads} "
                  f"experts={experts}", file=out)
            for name, shape in tensors:
                print("tensor", name, *shape, file=out)
            imatrix = importance(tensors, layers)
            plans = [(r, False) for r in FILE_TYPES if r not in NEED_DATA] + [(r, True) for r in CALIBRATED]
            if experts > 8:  # hours, where codes name vectors
                plans = [(r, c) for r, c in plans if not r.startswith(("IQ1", "IQ2", "IQ3"))]
            for recipe, calibrated in plans:
                if not quantize(source, target, FILE_TYPES[recipe], imatrix if calibrated else None):
                    sys.exit(f"{case}: llama.cpp does not make {recipe}")
                print("recipe", recipe, base[recipe], *(["calibrated"] if calibrated else []), file=out)
                types = types_of(target)
                for name, shape in tensors:
                    if len(shape) == 1:
                        continue  # all vectors stay F32
                    runs, distinct = encodings_by_layer(types, name, layers)
                    if distinct != {base[recipe]}:
                        print(name, runs, file=out)


def check(model, files):
    """Each file's recipe is its general.file_type."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        target = os.path.join(folder, "out.gguf")
        for path in files:
            file_type = int(gguf.GGUFReader(path).fields["general.file_type"].contents())
            if not quantize(model, target, file_type):
                print(f"{path}: llama.cpp does not make file type {file_type} of {model}")
                continue
            ours, theirs = types_of(path), types_of(target)
            bad = [n for n in theirs if ours.get(n) != theirs[n]] + [n for n in ours if n not in theirs]
            for n in bad:
                print(f"{path}: {n} is {ours.get(n)}, llama.cpp makes it {theirs.get(n)}")
            wrong += bool(bad)
            print(f"{path}: {len(theirs)} tensors, {len(bad)} differ")
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", nargs="+", metavar=("MODEL", "FILE"))
    parser.add_argument("--verbose", action="store_true", help="show llama.cpp's log")
    args = parser.parse_args()
    silent = llama.llama_log_callback(lambda level, text, data: None)
    if not args.verbose:
        llama.llama_log_set(silent, None)
    if args.check:
        sys.exit(check(args.check[0], args.check[1:]))
    golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "mixes.txt")
    with open(golden, "w") as out:
        make_golden(out)


if __name__ == "__main__":
    main()
