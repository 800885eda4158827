// What tools/oracle_text.py compares with other implementations: reads one JSON request per line, answers one
// JSON line. Requests:
//   {"op":"render","template":T,"variables":{...}}            -> {"text":...} or {"error":...}
//   {"op":"load","gguf":PATH} or {"op":"load_hf","files":{name: text or base64 of tokenizer.model},"vocab":N}
//   {"op":"encode","text":T,"special":bool,"add":bool}        -> {"ids":[...]}
//   {"op":"decode","ids":[...]}                               -> {"text":...}
//   {"op":"write","directory":D}                              -> files of make_hf_tokenizer_files written
//   there
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <sstream>

#include "containers/gguf.h"
#include "containers/json.h"
#include "text/chat_template.h"
#include "text/hf_tokenizer.h"
#include "text/tokenizer.h"

namespace {

using namespace carat;

struct State {
  Metadata metadata;
  std::shared_ptr<const Tokenizer> tokenizer;
};

std::string text_at(const json::value& request, std::string_view key) {
  const json::string* s = json_string(json_find(request, key));
  return s ? std::string(*s) : std::string{};
}
bool flag_at(const json::value& request, std::string_view key) {
  const json::value* v = json_find(request, key);
  return v && v->is_bool() && v->get_bool();
}

std::optional<std::string> file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

Result<json::object> use(State& state) {
  CARAT_TRY(state.tokenizer, Tokenizer::from_metadata(state.metadata));
  return json::object{{"tokens", state.tokenizer->vocabulary_size()}};
}

Result<json::object> answer(State& state, const json::value& request) {
  const std::string op = text_at(request, "op");
  if (op == "render") {
    CARAT_TRY(const auto parsed, ChatTemplate::parse(text_at(request, "template")));
    const json::value* variables = json_find(request, "variables");
    CARAT_TRY(const std::string text, parsed->render_json(variables ? json::serialize(*variables) : "{}"));
    return json::object{{"text", text}};
  }
  if (op == "load") {
    CARAT_TRY(auto file, read_gguf(text_at(request, "gguf")));
    state.metadata = std::move(file.metadata);
    return use(state);
  }
  if (op == "load_hf") {
    const std::string directory = text_at(request, "directory") + "/";
    HfTokenizerFiles files;
    files.tokenizer_json = file_text(directory + "tokenizer.json");
    files.tokenizer_config_json = file_text(directory + "tokenizer_config.json");
    files.special_tokens_map_json = file_text(directory + "special_tokens_map.json");
    files.generation_config_json = file_text(directory + "generation_config.json");
    files.tokenizer_model = file_text(directory + "tokenizer.model");
    files.chat_template_jinja = file_text(directory + "chat_template.jinja");
    files.config_json = file_text(directory + "config.json").value_or("{}");
    state.metadata = {};
    const json::value* size = json_find(request, "vocab_size");
    CARAT_DO(add_tokenizer_metadata(
        files, size && size->is_int64() ? static_cast<uint64_t>(size->get_int64()) : 0, state.metadata));
    return use(state);
  }
  if (op == "write") {
    CARAT_TRY(const auto files, make_hf_tokenizer_files(state.metadata));
    for (const auto& [name, text] : files) {
      std::ofstream(text_at(request, "directory") + "/" + name, std::ios::binary) << text;
    }
    return json::object{{"files", files.size()}};
  }
  if (!state.tokenizer) return usage_error("nothing is loaded");
  if (op == "encode") {
    CARAT_TRY(const auto ids, state.tokenizer->encode(text_at(request, "text"), flag_at(request, "add"),
                                                      flag_at(request, "special")));
    return json::object{{"ids", json::array(ids.begin(), ids.end())}};
  }
  if (op == "decode") {
    std::vector<TokenId> ids;
    if (const json::array* given = json_array(json_find(request, "ids"))) {
      for (const json::value& id : *given)
        ids.push_back(id.is_int64() ? static_cast<TokenId>(id.get_int64()) : -1);
    }
    return json::object{{"text", state.tokenizer->decode(ids, flag_at(request, "special"))}};
  }
  return usage_error("unknown op '{}'", op);
}

}  // namespace

int main() {
  State state;
  for (std::string line; std::getline(std::cin, line);) {
    const auto request = parse_json(line);
    auto result = request ? answer(state, *request) : Result<json::object>(request.error());
    const json::object reply = result ? *result : json::object{{"error", result.error().message}};
    std::cout << json::serialize(reply) << std::endl;
  }
}
