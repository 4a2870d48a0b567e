// uhd tokenize says of what tokens a text, or a conversation with images, consists. It loads no weights.
#include <CLI/CLI.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <climits>
#include <cstdio>
#include <memory>

#include "app/commands.h"
#include "app/settings_option.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"
#include "engine/launch/model_files.h"
#include "engine/launch/served_text.h"
#include "net/openai.h"

namespace uhd {
namespace {

namespace json = boost::json;

struct TokenizeOptions {
  std::string text, system, messages;
  std::vector<std::string> images;
  bool chat = false;
  bool json = false;
};

// Of a request's body, the fields that make its prompt.
constexpr const char* kPromptFields[] = {"messages", "tools", "add_generation_prompt",
                                         "continue_final_message", "chat_template_kwargs"};

// The conversation of a file: a list of messages, or the body of a request.
Request read_conversation_file(const std::string& path, const ModelInfo& model, const NetOptions& net) {
  boost::system::error_code wrong;
  const json::value value = json::parse(read_text_file(path), wrong);
  require(!wrong && (value.is_array() || value.is_object()), path,
          ": it must hold a list of messages, or the body of a request, as JSON");
  json::object body;
  if (value.is_array()) {
    body["messages"] = value;
  } else {
    for (const char* field : kPromptFields) {
      if (const json::value* given = value.get_object().if_contains(field)) body[field] = *given;
    }
  }
  require(body.contains("messages"), path, ": it holds no messages");
  auto parsed = parse_tokenize(json::serialize(body), model, net);
  if (const auto* error = std::get_if<ApiError>(&parsed)) throw Error(message(path, ": ", error->message));
  return *std::move(std::get<TokenizeCall>(parsed).conversation);
}

Request conversation_of(const TokenizeOptions& options) {
  Request request;
  if (!options.system.empty()) request.messages.push_back({"system", {{.text = options.system}}});
  Message user{"user", {}};
  for (const std::string& file : options.images) {
    user.parts.push_back({.image = std::make_shared<const std::string>(read_text_file(file))});
  }
  user.parts.push_back({.text = options.text});
  request.messages.push_back(std::move(user));
  return request;
}

// The ids of a prompt; -1 stands for each token of an image.
struct Tokenized {
  std::vector<int32_t> ids;
  std::vector<ImagePlan> images;
};

Tokenized tokenize_prompt(const TokenizeOptions& options, const ServedText& text, const NetOptions& net) {
  const bool plain =
      options.messages.empty() && !options.chat && options.system.empty() && options.images.empty();
  if (plain) return {text.tokenizer->encode(options.text, true, true), {}};
  const Request request = options.messages.empty() ? conversation_of(options)
                                                   : read_conversation_file(options.messages, text.info, net);
  const auto laid_out = text.intake->lay_out(request);
  if (const auto* failure = std::get_if<Failure>(&laid_out)) throw Error(failure->message);
  RequestPlan plan = text.intake->describe(std::get<PlannedRequest>(laid_out), 1);
  return {std::move(plan.prompt_ids), std::move(plan.images)};
}

std::string text_of_token(const Tokenizer& tokenizer, int32_t id) {
  return id < 0 ? "" : repair_utf8(tokenizer.bytes_of_token(id), Replacement::per_byte);
}

std::string json_of(const Tokenized& prompt, const ServedText& text) {
  json::array texts, images;
  for (const int32_t id : prompt.ids) texts.emplace_back(text_of_token(*text.tokenizer, id));
  int64_t visual = 0;
  for (const ImagePlan& image : prompt.images) {
    visual += image.visual_tokens;
    images.push_back(json::object{{"width", image.report.width},
                                  {"height", image.report.height},
                                  {"slices", image.report.slices},
                                  {"tokens", image.report.tokens}});
  }
  return json::serialize(json::object{{"count", prompt.ids.size()},
                                      {"visual_tokens", visual},
                                      {"max_model_len", text.info.context_length},
                                      {"tokens", json::array(prompt.ids.begin(), prompt.ids.end())},
                                      {"token_strs", std::move(texts)},
                                      {"images", std::move(images)}});
}

// A line for each token, and one for a run of visual ones.
void print_tokens(const Tokenized& prompt, const ServedText& text) {
  for (size_t i = 0; i < prompt.ids.size();) {
    size_t end = i + 1;
    while (prompt.ids[i] < 0 && end < prompt.ids.size() && prompt.ids[end] < 0) ++end;
    if (prompt.ids[i] < 0) {
      std::printf("%8s  %zu visual tokens\n", "", end - i);
    } else {
      const std::string quoted = json::serialize(json::string(text_of_token(*text.tokenizer, prompt.ids[i])));
      std::printf("%8d  %s\n", prompt.ids[i], quoted.c_str());
    }
    i = end;
  }
  std::printf("%zu tokens of %d\n", prompt.ids.size(), text.info.context_length);
}

void run_tokenize(const ServerConfig& config, const TokenizeOptions& options) {
  require(!config.engine.model_path.empty(),
          "--model: say whose tokens, for example --model models/nano-uhd");
  const ModelConfig model = read_served_config(config.engine);
  const int context =
      config.engine.context_length > 0 ? config.engine.context_length : model.language.context;
  const ServedText text = read_served_text(model, config.engine, {context, INT_MAX});
  const Tokenized prompt = tokenize_prompt(options, text, config.net);
  if (options.json) {
    std::printf("%s\n", json_of(prompt, text).c_str());
  } else {
    print_tokens(prompt, text);
  }
}

}  // namespace

void add_tokenize_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("tokenize", "Count and show the tokens of a text, or of a conversation with images");
  auto settings = std::make_shared<SettingsOption>();
  auto options = std::make_shared<TokenizeOptions>();
  CLI::Option* text = command->add_option("text", options->text, "The text, or the user's message");
  settings->add_model_to(*command, "Checkpoint directory; its weights are not read");
  CLI::Option* images =
      command
          ->add_option("-i,--image", options->images,
                       "Image file before the text of a conversation; may be given several times")
          ->take_all()
          ->allow_extra_args(false)
          ->check(CLI::ExistingFile);
  CLI::Option* system = command->add_option("--system", options->system, "System message of a conversation");
  command->add_flag("--chat", options->chat, "The text is a conversation: the chat template is applied");
  CLI::Option* messages =
      command
          ->add_option("--messages", options->messages,
                       "JSON file with the messages of a chat, or with the body of a chat request")
          ->check(CLI::ExistingFile);
  command->add_flag("--json", options->json, "Print one JSON object");
  messages->excludes(text)->excludes(images)->excludes(system);
  settings->add_to(*command);
  command->footer(
      "Settings of 'uhd serve' may be given as --section.key=value. The counts are those of its answers; -1 "
      "stands for each token of an image.\n"
      "\nExamples:\n"
      "  uhd tokenize --model models/nano-uhd \"What is the number?\"\n"
      "  uhd tokenize --model models/nano-uhd --image page.png \"What is the number?\" --json\n"
      "  uhd tokenize --model models/nano-uhd --messages request.json");
  command->callback([command, settings, options] {
    settings->run(*command, [&](const ServerConfig& config) { run_tokenize(config, *options); });
  });
}

}  // namespace uhd
