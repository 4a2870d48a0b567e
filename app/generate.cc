// uhd generate answers one question, with or without images, by an engine in this process. The answer goes to
// stdout as it comes, times and counts go to stderr; or all of it as one JSON object at the end.
#include <CLI/CLI.hpp>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "app/commands.h"
#include "app/settings_option.h"
#include "app/usage_error.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "base/queue.h"
#include "engine/launch/launch.h"
#include "engine/metrics.h"
#include "model/vision/image.h"
#include "net/image_json.h"

namespace uhd {
namespace {

struct Question {
  std::vector<std::string> images;
  std::string text;
  std::string system;
  int max_tokens = 256;
  double temperature = 0;
  std::optional<uint64_t> seed;
  bool raw = false;
  bool json = false;
};

// A file that is no picture is told before a model is loaded, and by its name.
std::shared_ptr<const std::string> read_picture(const std::string& file, const ImageOptions& options) {
  auto bytes = std::make_shared<const std::string>(read_text_file(file));
  try {
    read_image_header(*bytes, options.limits, options.reference_compat);
  } catch (const ImageError& error) {
    throw Error(message(file, ": ", error.what()));
  }
  return bytes;
}

Request make_request(const Question& question, const ImageOptions& options) {
  Request request;
  request.sampling.temperature = static_cast<float>(question.temperature);
  request.sampling.seed = question.seed;
  request.stop.max_tokens = question.max_tokens;
  if (question.raw) {
    if (!question.images.empty())
      throw UsageError("--raw takes no images: a raw prompt has no place for them");
    request.prompt = question.text;
    return request;
  }
  if (!question.system.empty()) request.messages.push_back({"system", {{.text = question.system}}});
  Message user{"user", {}};
  for (const std::string& file : question.images) {
    user.parts.push_back({.image = read_picture(file, options)});
  }
  user.parts.push_back({.text = question.text});
  request.messages.push_back(std::move(user));
  return request;
}

void print_usage(const Usage& u) {
  for (const ImageReport& i : u.images) {
    std::fprintf(stderr, "image %dx%d: grid %dx%d, %d slices and the overview, %d tokens\n", i.width,
                 i.height, i.columns, i.rows, i.slices, i.tokens);
  }
  std::fprintf(stderr,
               "prompt %d tokens (%d of images), answer %d tokens, first token after %.3f s, total %.3f s\n",
               u.prompt_tokens, u.image_tokens, u.completion_tokens, u.times.ttft, u.times.total);
}

// Returns false if the reader has gone.
bool print_text(const std::string& text) {
  const bool whole = std::fwrite(text.data(), 1, text.size(), stdout) == text.size();
  if (whole && std::fflush(stdout) == 0) return true;
  require(errno == EPIPE, "the answer cannot be written: ", std::strerror(errno));
  return false;
}

std::string answer_json(const std::string& model, const std::string& text, const TokenEvent& last) {
  namespace json = boost::json;
  json::object object{{"model", model}, {"answer", text}, {"finish_reason", name_of(last.finish)}};
  if (last.usage) {
    const Usage& u = *last.usage;
    object["usage"] = json::object{{"prompt_tokens", u.prompt_tokens},
                                   {"image_tokens", u.image_tokens},
                                   {"completion_tokens", u.completion_tokens}};
    object["uhd"] = extension_json(u);
  }
  return json::serialize(object) + '\n';
}

void generate(const ServerConfig& config, const Question& question) {
  if (config.engine.model_path.empty()) {
    throw UsageError("--model: say which checkpoint to ask, for example --model models/nano-uhd");
  }
  Request request = make_request(question, config.engine.image);
  const std::unique_ptr<Engine> engine = make_engine(config.engine, config.cluster);
  const auto events =
      std::make_shared<Queue<TokenEvent>>(static_cast<size_t>(engine->model().context_length) + 16);
  // On a terminal the answer and the log meet: while it is written, the log says what went wrong alone.
  if (log_level() == LogLevel::info) set_log_level(LogLevel::warning);
  const auto answer = engine->submit(std::move(request),
                                     [events](TokenEvent&& event) { events->try_push(std::move(event)); });
  if (const auto* refused = std::get_if<Failure>(&answer)) throw Error(refused->message);
  std::string text;
  while (const auto event = events->pop()) {
    text += event->text;
    if (!question.json && !print_text(event->text)) return;  // nobody reads on
    if (event->finish == FinishReason::none) continue;
    require(!event->failure, event->failure ? event->failure->message : "");
    if (question.json) {
      print_text(answer_json(engine->model().id, text, *event));
    } else if (print_text("\n") && event->usage) {
      print_usage(*event->usage);
    }
    return;
  }
}

}  // namespace

void add_generate_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("generate", "Ask a model one question, without a server");
  auto settings = std::make_shared<SettingsOption>();
  auto question = std::make_shared<Question>();
  command->add_option("question", question->text, "The question")->required();
  settings->add_model_to(*command, "Checkpoint directory");
  command
      ->add_option("-i,--image", question->images,
                   "Image file: JPEG, PNG or WebP; may be given several times")
      ->take_all()
      ->allow_extra_args(false)
      ->check(CLI::ExistingFile);
  command->add_option("--system", question->system, "System message");
  command->add_option("--max-tokens", question->max_tokens, "The most tokens of the answer")
      ->check(CLI::Range(1, 1 << 30));
  command->add_option("--temperature", question->temperature, "Temperature; 0 takes the most likely token")
      ->check(CLI::Range(0.0, 2.0));
  command->add_option("--seed", question->seed,
                      "Seed of the random numbers; without it every run draws others");
  command->add_flag("--raw", question->raw,
                    "Take the question as the whole prompt, without the chat template");
  command->add_flag("--json", question->json, "Print the answer, counts and times as one JSON object");
  settings->add_to(*command);
  command->footer(
      "Settings may also stand in the file or in the environment, as for 'uhd serve'.\n"
      "\nExamples:\n"
      "  uhd generate --model models/nano-uhd --image page.png \"What is the number?\"\n"
      "  uhd generate --model models/nano-uhd -i a.png -i b.jpg --max-tokens 32 \"What differs?\"\n"
      "  uhd generate --model models/smollm2 --temperature 0.8 --seed 7 \"Tell me a story.\"\n"
      "  uhd generate --model models/nano-uhd --llm.tensor_parallel=2 --raw \"1 2 3\"");
  command->callback([command, settings, question] {
    settings->run(*command, [&](const ServerConfig& config) { generate(config, *question); });
  });
}

}  // namespace uhd
