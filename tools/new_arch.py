#!/usr/bin/env python3
"""Begins a new model family: its file in src/arch, its line in the list, a small random model to compare with llama.cpp.

    tools/new_arch.py ARCHITECTURE --class NameForCausalLM [--model-type NAME] [--qkv-bias] [--qk-norm] [--interleaved]

ARCHITECTURE is general.architecture in GGUF files. What comes of it is a llama of that name: attention and a gated
feed-forward, RMS norms before both. It compiles, and every test of families tests it at once; then say in its file, and in its
model in tools/family_models.py, where the family differs. docs/extending.md goes through one that was done.
"""
import argparse
import builtins
import keyword
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SOURCE = '''// {name}: a llama until told otherwise. Say here what is different, and where that is written down (llama.cpp's
// models/{arch}.cpp, transformers' modeling_{type}.py).
#include "arch/config_reader.h"
#include "arch/family.h"
#include "arch/model_config.h"
#include "arch/tensor_tables.h"

namespace carat {{

const Family& {id}_family() {{
  static const Family family{{
      .architecture = "{arch}",
      .classes = {{{{"{cls}", "{type}", HfClass::Window::never, 2048, 0}}}},
      .rope_interleaved = {interleaved},
      .writes_vocabulary_and_rotary = {interleaved},
      .tensors = decoder_tensors(Presence::{bias}, {norm}),
      .norms = decoder_norms(),
      .pairs = decoder_pairs(),
      .hf = {{.written = false}}}};
  return family;
}}

}}  // namespace carat
'''

MODEL = '''def {id}(seed):
    m = Model("{arch}", seed)
    m.common("{cls}", "{type}"){own}
    m.embedding()
    for i in range(m.layers):
        b, h = f"blk.{{i}}.", f"model.layers.{{i}}."
        m.add(b + "attn_norm.weight", h + "input_layernorm.weight", m.gain())
        m.qkv(i{order}{bias})
{norms}        m.add(b + "attn_output.weight", h + "self_attn.o_proj.weight", m.matrix(m.width, m.heads * m.head_dim))
        m.add(b + "ffn_norm.weight", h + "post_attention_layernorm.weight", m.gain())
        gated(m, i)
    m.add("output_norm.weight", "model.norm.weight", m.gain())
    return m


'''

NORMS = '''        for part in ("q", "k"):
            m.add(b + f"attn_{part}_norm.weight", h + f"self_attn.{part}_norm.weight", m.gain(m.head_dim))
'''


def insert(path, pattern, replacement):
    text = path.read_text()
    changed, found = re.subn(pattern, replacement, text, count=1, flags=re.S)
    if not found:
        sys.exit(f"{path}: what it is inserted after is not where it was ({pattern})")
    return lambda: path.write_text(changed)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("architecture", help="such as olmo2 or command-r")
    p.add_argument("--class", dest="cls", required=True, help="of Hugging Face's transformers: Olmo2ForCausalLM")
    p.add_argument("--model-type", help="model_type in config.json (default: the architecture)")
    p.add_argument("--qkv-bias", action="store_true", help="q, k and v have biases")
    p.add_argument("--qk-norm", action="store_true", help="each head of q and k is normed")
    p.add_argument("--interleaved", action="store_true", help="GGUF rotates pairs (0,1), (2,3), as llama does")
    a = p.parse_args()
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", a.architecture) or not re.fullmatch(r"\w+", a.cls):
        p.error("an architecture is lower case (olmo2, command-r), a class one word")
    name = re.sub(r"[^a-z0-9]", "_", a.architecture)
    if keyword.iskeyword(name) or hasattr(builtins, name):
        p.error(f"{name} would be the name of a function, and is taken by Python")
    for other in sorted(set((ROOT / "src/arch").glob("*.cc")) - set((ROOT / "src/arch").glob("*_test.cc"))):
        if f'"{a.cls}"' in other.read_text():
            p.error(f"{a.cls} is read already: {other.relative_to(ROOT)}")
    model_type = a.model_type or a.architecture
    source = ROOT / f"src/arch/{name}.cc"
    families = ROOT / "src/arch/families.cc"
    if source.exists() or re.search(rf"X\({name}\)", families.read_text()):
        p.error(f"{a.architecture} is there already, or something else is called {source.name}")

    text = families.read_text()
    listed = sorted(re.findall(r"X\((\w+)\)", text.split("#define CARAT_DECLARE")[0]) + [name])
    listed = [n for n in listed if n != "X"]
    macro = "#define CARAT_FAMILIES(X) \\\n" + " \\\n".join(f"  X({n})" for n in listed) + "\n"
    writes = [insert(families, r"#define CARAT_FAMILIES\(X\).*?\n(?=\n)", lambda _: macro)]
    model = MODEL.format(
        id=name, arch=a.architecture, cls=a.cls, type=model_type, order=", halves_to_pairs" if a.interleaved else "",
        bias=", bias=True" if a.qkv_bias else "", norms=NORMS if a.qk_norm else "",
        own='\n    m.keys |= {"vocab_size": m.words, "rope.dimension_count": m.head_dim}' if a.interleaved else "")
    table = ROOT / "tools/family_models.py"
    writes.append(insert(table, r"FAMILIES = \{\n(.*?)\n\}",
                         lambda m: f'{model}FAMILIES = {{\n{m.group(1)}\n    "{a.architecture}": {name},\n}}'))
    writes.append(insert(ROOT / "docs/models.md", r"(\| family \|.*?)\n\n",
                         lambda m: f"{m.group(1)}\n| {a.architecture} | `{a.architecture}` | read | nobody: unverified |\n\n"))
    for write in writes:
        write()
    source.write_text(SOURCE.format(
        name=a.architecture, arch=a.architecture, id=name, cls=a.cls, type=model_type,
        interleaved="true" if a.interleaved else "false", norm="true" if a.qk_norm else "false",
        bias="required" if a.qkv_bias else "all_or_none"))
    print(f"""src/arch/{name}.cc, its line in src/arch/families.cc, a model in tools/family_models.py and a row of docs/models.md are there.

  clang-format -i src/arch/{name}.cc src/arch/families.cc
  cmake --build --preset release --target carat arch_test model_test && ctest --test-dir build/release -R 'arch_test|model_test'
  .venv/bin/python tools/oracle_engine.py --carat build/release/bin/carat       # against llama.cpp, in both containers

Until its logits agree with another implementation's, leave .checked_against empty: `carat inspect` then says that the family is
unverified. Then name the implementation there and in docs/models.md.""")


if __name__ == "__main__":
    main()
