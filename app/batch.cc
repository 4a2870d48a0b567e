// uhd batch answers a file of requests, by an engine of its own, by servers, or by both at once.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <mutex>
#include <thread>

#include "app/batch_file.h"
#include "app/batch_progress.h"
#include "app/commands.h"
#include "app/http_call.h"
#include "app/settings_option.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/queue.h"
#include "engine/launch/launch.h"
#include "net/api.h"
#include "net/completion.h"

namespace uhd {
namespace {

struct BatchOptions {
  std::string input, output, key;
  std::vector<std::string> urls;
  int concurrency = 0;  // of each server; 0: what suits it
  int retries = 4;
  double timeout_s = 600;
  bool json = false;
};

constexpr int kServerConcurrency = 8;
constexpr double kLongestWait_s = 60;
constexpr int kMostGivenUp = 3;  // requests in a row, before a thread takes its server for gone

// Says whether the answer is an API error with this code.
bool has_code(const HttpAnswer& answer, std::string_view code) {
  boost::system::error_code wrong;
  const boost::json::value body = boost::json::parse(answer.body, wrong);
  if (wrong) return false;
  const boost::json::value* told = body.find_pointer("/error/code", wrong);
  return told != nullptr && told->is_string() && std::string_view(told->get_string()) == code;
}

// Says whether the fault is the server's for a while, and not the request's.
bool is_for_later(const HttpAnswer& got) {
  constexpr std::array kLater{0, 429, 502, 503, 504};
  return std::ranges::find(kLater, got.status) != kLater.end() ||
         (got.status == 500 && has_code(got, "engine_failed"));
}

// One that answers requests; several threads ask it at once.
class Answerer {
 public:
  virtual ~Answerer() = default;
  virtual HttpAnswer ask(const BatchRequest& request) = 0;
  virtual int concurrency() const = 0;
};

// A server. The prefix of its URL stands for the /v1 of a request's.
class ServerAnswerer final : public Answerer {
 public:
  explicit ServerAnswerer(LoadTarget target) : target_(std::move(target)) {}
  HttpAnswer ask(const BatchRequest& request) override {
    return post_json(target_, target_.prefix + request.url.substr(3), request.body);
  }
  int concurrency() const override { return kServerConcurrency; }

 private:
  LoadTarget target_;
};

// An engine in this process, behind the API that a server has.
class OwnAnswerer final : public Answerer {
 public:
  explicit OwnAnswerer(const ServerConfig& config, int concurrency)
      : engine_(make_engine(config.engine, config.cluster)),
        api_(net_of(config, concurrency), {}),
        places_(config.engine.max_running) {
    api_.serve(*engine_, {});
  }

  HttpAnswer ask(const BatchRequest& request) override {
    HttpRequest asked{.method = "POST", .path = request.url, .body = request.body, .client = "batch"};
    asked.id = message("batch-", ++number_);
    const Reply reply = api_.handle(asked);
    if (const auto* response = std::get_if<HttpResponse>(&reply)) return answer_of(*response, asked.id);
    Completion& completion = *std::get<std::shared_ptr<Completion>>(reply);
    const auto events = std::make_shared<Queue<ChoiceEvent>>(completion.most_events());
    const auto refused =
        completion.start([events](ChoiceEvent&& event) { events->try_push(std::move(event)); });
    if (refused) return answer_of(error_response(*refused), asked.id);
    while (!completion.finished()) {
      if (auto event = events->pop()) completion.take(std::move(*event));
    }
    return answer_of(completion.response(), asked.id);
  }
  int concurrency() const override { return places_; }

 private:
  static NetOptions net_of(const ServerConfig& config, int concurrency) {
    NetOptions net = config.net;
    net.api_keys_file.clear();  // there is one client
    net.page = false;
    net.max_requests_per_client =
        std::max({net.max_requests_per_client, concurrency, config.engine.max_running});
    return net;
  }
  static HttpAnswer answer_of(const HttpResponse& response, const std::string& id) {
    HttpAnswer answer{.status = response.status, .body = response.body, .request_id = id};
    for (const auto& [name, value] : response.headers) {
      if (name == "Retry-After") answer.retry_after_s = std::strtod(value.c_str(), nullptr);
    }
    answer.unreachable = response.status == 503 && has_code(answer, "engine_stalled");  // it never comes back
    return answer;
  }

  std::unique_ptr<Engine> engine_;
  Api api_;
  int places_;
  std::atomic<uint64_t> number_{0};
};

struct BatchCounts {
  size_t requests = 0;    // of the file
  size_t skipped = 0;     // that had an answer before
  size_t succeeded = 0;   // status 200
  size_t failed = 0;      // another status
  size_t unanswered = 0;  // given up: another run asks for them again
};

// Runs the requests on threads, several for each answerer. A request that found it busy or gone is asked
// again after a while, and stays without an answer in the end. A thread that often found it gone stops.
class BatchRun {
 public:
  BatchRun(BatchInput& input, BatchOutput& output, const BatchOptions& options)
      : input_(input),
        output_(output),
        options_(options),
        written_over_(shows_status()),
        progress_(static_cast<int64_t>(input.size()), written_over_, now()) {}

  BatchCounts run(const std::vector<std::unique_ptr<Answerer>>& answerers) {
    {
      std::vector<std::jthread> threads;
      for (const auto& answerer : answerers) {
        const int count = options_.concurrency > 0 ? options_.concurrency : answerer->concurrency();
        for (int i = 0; i < std::min(count, static_cast<int>(input_.size())); ++i) {
          threads.emplace_back([this, &answerer] { work(*answerer); });
        }
      }
    }
    if (failure_) throw Error(*failure_);
    counts_.unanswered = input_.size() - counts_.succeeded - counts_.failed;
    status_.show("");
    print_error(progress_.end(now()));
    return counts_;
  }
  const std::string& reason() const { return reason_; }

 private:
  static double now() { return seconds(Clock::now().time_since_epoch()); }

  void tell(const std::optional<std::string>& line) {
    if (!line) return;
    written_over_ ? status_.show(*line) : print_error(*line);
  }

  void work(Answerer& answerer) {
    try {
      for (int given_up = 0; given_up < kMostGivenUp;) {
        std::unique_lock lock(mutex_);
        if (next_ == input_.size() || failure_) return;
        const BatchRequest request = input_.read(next_++);
        lock.unlock();
        const HttpAnswer got = ask(answerer, request);
        if (!is_for_later(got)) {
          write(request, got);
          given_up = 0;
          continue;
        }
        give_up(got);
        if (got.unreachable) return;
        given_up = got.status == 429 ? 0 : given_up + 1;  // a busy server is there
      }
    } catch (const std::exception& e) {
      const std::lock_guard lock(mutex_);
      failure_ = e.what();
    }
  }

  // Asks again after a while, as often as is allowed.
  HttpAnswer ask(Answerer& answerer, const BatchRequest& request) const {
    for (int round = 0;; ++round) {
      HttpAnswer got = answerer.ask(request);
      if (round == options_.retries || !is_for_later(got)) return got;
      const double wait =
          got.retry_after_s > 0 ? got.retry_after_s : static_cast<double>(1 << std::min(round, 6));
      std::this_thread::sleep_for(from_seconds(std::min(wait, kLongestWait_s)));
    }
  }

  void write(const BatchRequest& request, const HttpAnswer& got) {
    const std::string line = batch_answer_line(request.custom_id, {got.status, got.request_id, got.body});
    const std::lock_guard lock(mutex_);
    output_.append(line);
    const bool well = got.status == 200;
    ++(well ? counts_.succeeded : counts_.failed);
    tell(progress_.ended(well, now()));
  }

  void give_up(const HttpAnswer& got) {
    const std::lock_guard lock(mutex_);
    reason_ = got.status == 0 ? got.failure : message("status ", got.status);
    if (!got.unreachable) tell(progress_.ended(false, now()));
  }

  BatchInput& input_;
  BatchOutput& output_;
  const BatchOptions& options_;
  std::mutex mutex_;  // of all below, the input and the output
  const bool written_over_;
  BatchProgress progress_;
  StatusLine status_;
  BatchCounts counts_;
  size_t next_ = 0;
  std::string reason_;  // that the last request was given up for
  std::optional<std::string> failure_;
};

void print_counts(const BatchCounts& counts, const std::string& reason, bool as_json) {
  if (as_json) {
    const boost::json::object object{{"requests", counts.requests},
                                     {"skipped", counts.skipped},
                                     {"succeeded", counts.succeeded},
                                     {"failed", counts.failed},
                                     {"unanswered", counts.unanswered}};
    std::printf("%s\n", boost::json::serialize(object).c_str());
  } else {
    std::printf("%zu requests: %zu answered before, %zu answered now, %zu of them with an error\n",
                counts.requests, counts.skipped, counts.succeeded + counts.failed, counts.failed);
  }
  if (counts.unanswered == 0) return;
  print_error(message("uhd: ", counts.unanswered, " requests have no answer (", reason,
                      "): the same command asks for them again"));
  throw CLI::RuntimeError(1);
}

void run_batch(const ServerConfig& config, const BatchOptions& options) {
  std::error_code unknown;
  require(!std::filesystem::equivalent(options.input, options.output, unknown),
          "the output must not be the input");
  BatchInput input(options.input);
  BatchOutput output(options.output);
  BatchCounts counts{.requests = input.size()};
  counts.skipped = input.leave_out(output.answered());
  if (input.size() == 0) return print_counts(counts, "", options.json);
  std::vector<std::unique_ptr<Answerer>> answerers;
  for (const std::string& url : options.urls) {
    LoadTarget target = parse_target(url);
    target.key = options.key;
    target.timeout_s = options.timeout_s;
    answerers.push_back(std::make_unique<ServerAnswerer>(std::move(target)));
  }
  if (!config.engine.model_path.empty()) {
    if (log_level() == LogLevel::info) set_log_level(LogLevel::warning);
    answerers.push_back(std::make_unique<OwnAnswerer>(config, options.concurrency));
  }
  require(!answerers.empty(), "say who answers: --model DIRECTORY, or --url http://127.0.0.1:8080/v1");
  BatchRun run(input, output, options);
  const BatchCounts ran = run.run(answerers);
  counts.succeeded = ran.succeeded;
  counts.failed = ran.failed;
  counts.unanswered = ran.unanswered;
  print_counts(counts, run.reason(), options.json);
}

}  // namespace

void add_batch_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("batch", "Answer a file of requests, in the form of OpenAI's batches");
  auto settings = std::make_shared<SettingsOption>();
  auto options = std::make_shared<BatchOptions>();
  command
      ->add_option("input", options->input, "A line of JSON for each request: custom_id, method, url, body")
      ->required()
      ->check(CLI::ExistingFile);
  command
      ->add_option("-o,--out", options->output,
                   "File for the answers; requests that have one in it already are left out")
      ->required();
  settings->add_model_to(*command, "Checkpoint directory: an engine of this process answers");
  command->add_option("--url", options->urls, "A server answers; may be given several times")
      ->take_all()
      ->allow_extra_args(false);
  command->add_option("--key", options->key, "API key of the servers");
  command
      ->add_option("--concurrency", options->concurrency,
                   "Requests at once for each who answers (8 for a server, engine.max_running for an engine)")
      ->check(CLI::Range(1, 4096));
  command
      ->add_option("--retries", options->retries,
                   "How often a request is sent again that finds a server busy or gone (4)")
      ->check(CLI::Range(0, 100));
  command
      ->add_option("--timeout", options->timeout_s, "Seconds after which a server's answer is given up (600)")
      ->check(CLI::Range(0.1, 86400.0));
  command->add_flag("--json", options->json, "Print the counts as one JSON object");
  settings->add_to(*command);
  command->footer(
      "Settings of 'uhd serve' may be given as --section.key=value; they are the engine's of --model.\n"
      "A run that was cut off is continued by the same command. Its status is 0 once every request has an "
      "answer, be it an error.\n"
      "\nExamples:\n"
      "  uhd batch requests.jsonl --out answers.jsonl --model models/nano-uhd\n"
      "  uhd batch requests.jsonl --out answers.jsonl --url http://127.0.0.1:8080/v1 --concurrency 32");
  command->callback([command, settings, options] {
    settings->run(*command, [&](const ServerConfig& config) { run_batch(config, *options); });
  });
}

}  // namespace uhd
