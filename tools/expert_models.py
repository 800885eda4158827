"""Small random models of the families that are mixtures of experts and have blocks of their own, as GGUF files. The
llama-like ones are cases of oracle_engine.py.
"""
import math

from family_models import Model


class Mixture(Model):
    """Written in GGUF's form only."""

    def tensor(self, name, *shape, spread=None, mean=0.0):
        """Without a spread: a matrix whose products keep the size of what they read."""
        self.gguf[name] = self.draw(shape, spread if spread is not None else 1 / math.sqrt(shape[-1]), mean)

    def norm(self, name, size=None):
        self.gguf[name + ".weight"] = self.gain(size)

    def gated(self, block, suffix, channels, *outer):
        for part, rows, columns in (("gate", channels, self.width), ("up", channels, self.width),
                                    ("down", self.width, channels)):
            self.tensor(f"{block}ffn_{part}{suffix}.weight", *outer, rows, columns)

    def ends(self):
        self.tensor("token_embd.weight", self.words, self.width, spread=1.0)
        self.norm("output_norm")
        self.tensor("output.weight", self.words, self.width, spread=3 / math.sqrt(self.width))


def gpt_oss(seed, experts=8, used=4, yarn=True):
    m = Mixture("gpt-oss", seed, heads=4, kv_heads=2, head_dim=32)
    m.common("GptOssForCausalLM", "gpt_oss", base=150000.0)
    m.own_heads()
    channels = 64
    m.keys |= {"expert_count": experts, "expert_used_count": used, "expert_feed_forward_length": channels,
               "attention.sliding_window": 24}
    if yarn:
        m.keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": 32.0, "rope.scaling.original_context_length": 64}
    m.ends()
    queries, keys = m.heads * m.head_dim, m.kv_heads * m.head_dim
    for i in range(m.layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm")
        m.norm(b + "post_attention_norm")
        for part, rows, gain in (("q", queries, 2.0), ("k", keys, 2.0), ("v", keys, 1.0)):
            m.tensor(b + f"attn_{part}.weight", rows, m.width, spread=gain / math.sqrt(m.width))
            m.tensor(b + f"attn_{part}.bias", rows, spread=0.3)
        m.tensor(b + "attn_sinks.weight", m.heads, spread=2.0)
        m.tensor(b + "attn_output.weight", m.width, queries)
        m.tensor(b + "attn_output.bias", m.width, spread=0.3)
        m.tensor(b + "ffn_gate_inp.weight", experts, m.width, spread=2 / math.sqrt(m.width))
        m.tensor(b + "ffn_gate_inp.bias", experts, spread=0.3)
        m.gated(b, "_exps", channels, experts)
        for part, rows in (("gate", channels), ("up", channels), ("down", m.width)):
            m.tensor(b + f"ffn_{part}_exps.bias", experts, rows, spread=0.5)
    return m


def deepseek2(seed, absorbed=True, query_rank=40, experts=8, used=3, groups=0, sigmoid=False, yarn=None, layers=4):
    """absorbed: the newer layout."""
    m = Mixture("deepseek2", seed, heads=3, kv_heads=1 if absorbed else 3, head_dim=48, layers=layers)
    m.common("DeepseekV3ForCausalLM", "deepseek_v3")
    rank, rotary, value, channels, shared = 64, 16, 32, 48, 2
    plain = m.head_dim - rotary
    m.keys |= {"attention.kv_lora_rank": rank, "rope.dimension_count": rotary, "vocab_size": m.words,
               "expert_count": experts, "expert_used_count": used, "expert_feed_forward_length": channels,
               "expert_shared_count": shared, "leading_dense_block_count": 1, "expert_weights_scale": 1.5,
               "expert_gating_func": 2 if sigmoid else 1, "expert_weights_norm": sigmoid}
    if query_rank:
        m.keys["attention.q_lora_rank"] = query_rank
    if groups:
        m.keys |= {"expert_group_count": groups, "expert_group_used_count": groups // 2}
    if absorbed:
        m.keys |= {"attention.key_length": rank + rotary, "attention.value_length": rank,
                   "attention.key_length_mla": m.head_dim, "attention.value_length_mla": value}
    else:
        m.keys |= {"attention.key_length": m.head_dim, "attention.value_length": value}
    if yarn is not None:
        m.keys |= {"rope.scaling.type": "yarn", "rope.scaling.factor": 8.0, "rope.scaling.original_context_length": 64}
        if yarn:
            m.keys["rope.scaling.yarn_log_multiplier"] = 0.1 * yarn
    m.ends()
    for i in range(m.layers):
        b = f"blk.{i}."
        m.norm(b + "attn_norm")
        m.norm(b + "ffn_norm")
        queries = m.heads * m.head_dim
        if query_rank:
            m.tensor(b + "attn_q_a.weight", query_rank, m.width)
            m.norm(b + "attn_q_a_norm", query_rank)
            m.tensor(b + "attn_q_b.weight", queries, query_rank, spread=2 / math.sqrt(query_rank))
        else:
            m.tensor(b + "attn_q.weight", queries, m.width, spread=2 / math.sqrt(m.width))
        m.tensor(b + "attn_kv_a_mqa.weight", rank + rotary, m.width)
        m.norm(b + "attn_kv_a_norm", rank)
        if absorbed:
            m.tensor(b + "attn_k_b.weight", m.heads, rank, plain, spread=2 / math.sqrt(rank))
            m.tensor(b + "attn_v_b.weight", m.heads, value, rank)
        else:
            m.tensor(b + "attn_kv_b.weight", m.heads * (plain + value), rank, spread=1.5 / math.sqrt(rank))
        m.tensor(b + "attn_output.weight", m.width, m.heads * value)
        if i == 0:
            m.gated(b, "", m.feed_forward)
            continue
        m.tensor(b + "ffn_gate_inp.weight", experts, m.width, spread=2 / math.sqrt(m.width))
        if sigmoid:
            m.tensor(b + "exp_probs_b.bias", experts, spread=0.2)
        m.gated(b, "_exps", channels, experts)
        m.gated(b, "_shexp", channels * shared)
    return m


MIXTURES = {
    "gpt-oss": gpt_oss,
    "deepseek2": deepseek2,
    "deepseek2, old layout": lambda seed: deepseek2(seed, absorbed=False),
    "deepseek2, direct queries": lambda seed: deepseek2(seed, query_rank=0, layers=27, experts=4, used=4),
    "deepseek2, groups, sigmoid": lambda seed: deepseek2(seed, experts=12, used=4, groups=4, sigmoid=True),
    "deepseek2, yarn": lambda seed: deepseek2(seed, yarn=0.707),
    "deepseek2, old, yarn, mscale 1": lambda seed: deepseek2(seed, absorbed=False, yarn=1.0),
    "deepseek2, yarn without mscale": lambda seed: deepseek2(seed, yarn=0.0),
    "gpt-oss, 1 of 3, no yarn": lambda seed: gpt_oss(seed, 3, 1, yarn=False),
}
