#!/usr/bin/env python3
"""Compares carat's containers with the gguf and safetensors packages of PyPI.

    oracle_containers.py --carat BUILD/bin/carat [MODEL.gguf]...

Files made by the packages go through container_copy, which lies beside carat in the build, and are read back by the
packages; MODELs must come back byte for byte. Prints one line per check; exit status 0 if all hold, 1 otherwise.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import safetensors
from safetensors import safe_open

failures = 0


def check(name, ok, detail=""):
    global failures
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {name}{': ' + detail if detail and not ok else ''}")


def copy(program, source, target):
    done = subprocess.run([program, source, target], capture_output=True, text=True)
    return done.returncode, done.stderr.strip()


def same_bytes(a, b):
    with open(a, "rb") as fa, open(b, "rb") as fb:
        while True:
            x, y = fa.read(1 << 20), fb.read(1 << 20)
            if x != y:
                return False
            if not x:
                return True


def read_gguf(path):
    reader = gguf.GGUFReader(path)
    fields = {name: (field.types, repr(field.contents())) for name, field in reader.fields.items()}
    tensors = {t.name: (t.tensor_type, t.shape.tolist(), t.data.tobytes()) for t in reader.tensors}
    return fields, tensors


def write_gguf(path, rng, alignment):
    writer = gguf.GGUFWriter(path, "test")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    T = gguf.GGUFValueType
    scalars = {T.UINT8: 255, T.INT8: -128, T.UINT16: 65535, T.INT16: -32768, T.UINT32: 2**32 - 1, T.INT32: -2**31,
               T.FLOAT32: 0.1, T.BOOL: True, T.STRING: "t\u00e9xt \U0001f642", T.UINT64: 2**64 - 1, T.INT64: -2**63,
               T.FLOAT64: 1e-300}
    for kind, value in scalars.items():
        writer.add_key_value(f"scalar.{kind.name}", value, kind)
        writer.add_key_value(f"array.{kind.name}", [value] * 5, T.ARRAY, sub_type=kind)
    writer.add_string("empty", "")
    for i, kind in enumerate(gguf.GGMLQuantizationType):
        if kind == gguf.GGMLQuantizationType.Q8_1:
            continue  # the package counts 40 bytes per block; ggml's block_q8_1 has 36 (two f16, 32 codes)
        block, size = gguf.GGML_QUANT_SIZES[kind]
        raw = rng.integers(0, 256, (3, (1 + i % 3) * size), dtype=np.uint8)
        writer.add_tensor(f"tensor.{kind.name}", raw, raw_dtype=kind)
    for dims in range(1, 5):
        writer.add_tensor(f"dims.{dims}", rng.standard_normal((2,) * dims).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def check_gguf(program, directory, models):
    rng = np.random.default_rng(1)
    for alignment in (32, 64, 4096):
        source = os.path.join(directory, f"a{alignment}.gguf")
        target = os.path.join(directory, f"b{alignment}.gguf")
        write_gguf(source, rng, alignment)
        code, message = copy(program, source, target)
        check(f"gguf, alignment {alignment}: carat reads what the package writes", code == 0, message)
        if code == 0:
            check(f"gguf, alignment {alignment}: the copy is the same byte for byte", same_bytes(source, target))
            check(f"gguf, alignment {alignment}: the package reads the copy and finds the same",
                  read_gguf(source) == read_gguf(target))
    two = os.path.join(directory, "two.gguf")
    with open(os.path.join(directory, "a32.gguf"), "rb") as f:
        data = bytearray(f.read())
    data[4] = 2
    with open(two, "wb") as f:
        f.write(data)
    code, message = copy(program, two, os.path.join(directory, "three.gguf"))
    check("gguf version 2: read", code == 0, message)
    if code == 0:
        check("gguf version 2: written as version 3",
              same_bytes(os.path.join(directory, "three.gguf"), os.path.join(directory, "a32.gguf")))
    swapped = os.path.join(directory, "swapped.gguf")
    writer = gguf.GGUFWriter(swapped, "test", endianess=gguf.GGUFEndian.BIG)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    code, message = copy(program, swapped, os.path.join(directory, "none.gguf"))
    check("gguf of the other byte order: refused with its own sentence", code == 65 and "big-endian" in message, message)
    for model in models:
        target = os.path.join(directory, "model.gguf")
        code, message = copy(program, model, target)
        check(f"{os.path.basename(model)}: copied", code == 0, message)
        if code == 0:
            check(f"{os.path.basename(model)}: the same byte for byte", same_bytes(model, target))
            os.unlink(target)


def safetensors_content(paths):
    found = {}
    for path in paths:
        with open(path, "rb") as f:
            for name, entry in safetensors.deserialize(f.read()):
                found[name] = (entry["dtype"], entry["shape"], bytes(entry["data"]))
    return found


def check_safetensors(program, directory):
    rng = np.random.default_rng(2)
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4,
             "U16": 2, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1}
    # The names that serialize_file takes, and the format's own for the same types.
    spelled = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
               "I32": "int32", "I16": "int16", "I8": "int8", "U64": "uint64", "U32": "uint32", "U16": "uint16",
               "U8": "uint8", "BOOL": "bool", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
    shapes = [[], [0], [1], [7], [3, 5], [2, 0, 3], [2, 3, 4, 5]]
    buffers = []  # a TensorSpec points into memory that must stay
    tensors = {}
    for i, (dtype, size) in enumerate(sizes.items()):
        for j, shape in enumerate(shapes):
            count = int(np.prod(shape)) * size
            data = rng.integers(0, 2, count, dtype=np.uint8)
            buffers.append(data)
            tensors[f"t.{i}.{j}.\u00e9\"weight"] = safetensors.TensorSpec(
                dtype=spelled[dtype], shape=shape, data_ptr=data.ctypes.data, data_len=count)
    source = os.path.join(directory, "a.safetensors")
    safetensors.serialize_file(tensors, source, metadata={"format": "pt", "note": "x\ny"})
    target = os.path.join(directory, "shards")
    os.mkdir(target)
    code, message = copy(program, source, target)
    check("safetensors: carat reads what the package writes", code == 0, message)
    if code != 0:
        return
    with open(os.path.join(target, "model.safetensors.index.json")) as f:
        index = json.load(f)
    shards = sorted(set(index["weight_map"].values()))
    paths = [os.path.join(target, s) for s in shards]
    expected = safetensors_content([source])
    check("safetensors: several shards", len(shards) > 1)
    check("safetensors: the package reads the shards and finds the same", safetensors_content(paths) == expected)
    check("safetensors: total_size is that of the tensors",
          index["metadata"]["total_size"] == sum(len(data) for _, _, data in expected.values()))
    placed = {}
    for shard, path in zip(shards, paths):
        with safe_open(path, "numpy") as f:
            check(f"safetensors: {shard} names its framework", f.metadata() == {"format": "pt"})
            placed.update({name: shard for name in f.keys()})
            f32 = [name for name in f.keys() if expected[name][0] == "F32"]
            check(f"safetensors: numpy sees the F32 tensors of {shard}",
                  all(f.get_tensor(n).tobytes() == expected[n][2] for n in f32))
    check("safetensors: the index places every tensor in its shard", placed == index["weight_map"])
    again = os.path.join(directory, "again")
    os.mkdir(again)
    code, message = copy(program, target, again)
    check("safetensors: carat reads its own shards", code == 0, message)
    check("safetensors: and writes the same again", code == 0 and safetensors_content(
        [os.path.join(again, s) for s in os.listdir(again) if s.endswith(".safetensors")]) == expected)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--carat", required=True)
    parser.add_argument("models", nargs="*")
    arguments = parser.parse_args()
    program = os.path.join(os.path.dirname(arguments.carat), "container_copy")
    with tempfile.TemporaryDirectory() as directory:
        check_gguf(program, directory, arguments.models)
        check_safetensors(program, directory)
    sys.exit(1 if failures else 0)


main()
