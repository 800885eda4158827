#include "quantize/walk_stream.h"

#include <cstring>

#include "model/latent_attention.h"
#include "model/rows.h"

namespace carat {

template <class Body>
Status WalkStream::each_pass(const Context& context, Body&& body) {
  return passes_.each(context, scratch, [&](const SequencePasses::Pass& pass) -> Status {
    body(pass, states_of(pass));
    return {};
  });
}

Status WalkStream::embed(const Context& context) {
  x_.resize(static_cast<size_t>(passes_.tokens() * config().width));
  return each_pass(context, [&](const SequencePasses::Pass& pass, float* x) {
    carat::embed(context.pool, outer_, pass.segments, x);
  });
}

Status WalkStream::leave(const Context& context, int64_t l, LinearInput stage) {
  const bool mixture = config().is_mixture(l);
  switch (stage) {
    case LinearInput::value_heads:
      return attend(context, l);
    case LinearInput::attention_output:
      // Where the feed-forward is parallel, x waits for it.
      return config().parallel ? Status() : add_attention(context, l);
    case LinearInput::down:
      if (mixture) return {};
      CARAT_DO(each_pass(context, [&](const SequencePasses::Pass& pass, float* x) {
        if (kept_.has(l))
          kept_.get(context.pool, pass.first, pass.rows, scratch.gate.data());
        else
          layer_gated(context.pool, model(), layer, l, pass.rows, x, scratch);
        layer_down(context.pool, model(), layer, l, pass.rows, x, scratch);
      }));
      return config().parallel ? add_attention(context, l) : Status();
    case LinearInput::experts_down:
      if (!mixture) return {};
      return each_pass(context, [&](const SequencePasses::Pass& pass, float* x) {
        layer_experts(context.pool, model(), layer, l, pass.rows, x, scratch);
      });
    default:
      return {};
  }
}

Status WalkStream::attend(const Context& context, int64_t l) {
  const int64_t mixed = config().mixed_width();
  attended_.resize(static_cast<size_t>(passes_.tokens() * mixed));
  return each_pass(context, [&](const SequencePasses::Pass& pass, float* x) {
    layer_attention(context.pool, model(), layer, l, pass.segments, false, x, scratch);
    std::memcpy(attended_.data() + pass.first * mixed, scratch.attended.data(),
                static_cast<size_t>(pass.rows * mixed) * sizeof(float));
  });
}

Status WalkStream::add_attention(const Context& context, int64_t l) {
  const int64_t mixed = config().mixed_width();
  return each_pass(context, [&](const SequencePasses::Pass& pass, float* x) {
    std::memcpy(scratch.attended.data(), attended_.data() + pass.first * mixed,
                static_cast<size_t>(pass.rows * mixed) * sizeof(float));
    layer_attention_output(context.pool, model(), layer, l, pass.rows, x, scratch);
  });
}

const float* WalkStream::rows(const Context& context, int64_t l, LinearInput input,
                              const SequencePasses::Pass& pass) {
  const float* x = states_of(pass);
  switch (input) {
    case LinearInput::attention:
      return normed(context.pool, model(), layer.attention_norm, pass.rows, x, scratch);
    case LinearInput::query_latent:
    case LinearInput::latent:
      latent_projections(context.pool, model(), layer, l, pass.rows,
                         normed(context.pool, model(), layer.attention_norm, pass.rows, x, scratch), scratch);
      return input == LinearInput::latent ? scratch.latent.latent.data() : scratch.latent.query_latent.data();
    case LinearInput::attention_output:
      return attended_.data() + pass.first * config().mixed_width();
    case LinearInput::feed_forward:
      return normed(context.pool, model(), layer.feed_forward_norm, pass.rows, x, scratch);
    case LinearInput::down:
      if (config().is_mixture(l))
        shared_gated(context.pool, model(), layer, l, pass.rows, x, scratch);
      else
        layer_gated(context.pool, model(), layer, l, pass.rows, x, scratch);
      return scratch.gate.data();
    case LinearInput::key_heads:
    case LinearInput::value_heads:
    case LinearInput::experts:
    case LinearInput::experts_down:
    case LinearInput::output:
      break;
  }
  final_norm(context.pool, model(), x, pass.rows, scratch.h.data());
  return scratch.h.data();
}

}  // namespace carat
