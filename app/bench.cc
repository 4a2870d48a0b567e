// uhd bench measures a server with OpenAI's chat API, this one or another, under a load that is drawn from a
// seed or replayed.
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <memory>

#include "app/commands.h"
#include "app/load_report.h"
#include "base/error.h"
#include "base/mapped_file.h"

namespace uhd {
namespace {

struct BenchOptions {
  std::string url = "http://127.0.0.1:8080/v1", model, key, beside_key;
  LoadMix mix;
  int streams = 0;
  int warm_up = 1;
  std::string size;
  std::string replay, record, csv, plot;
  double first_token_ms = 0, token_ms = 0;  // 0: no objective
  double timeout_s = 600;
  bool ignore_eos = false;
  bool json = false;
};

void write_bench_file(const std::string& path, const std::string& content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  file.close();
  require(file.good(), path, ": cannot be written");
}

void take_size(const std::string& size, LoadMix& mix) {
  if (size.empty()) return;
  char rest = 0;
  const int read = std::sscanf(size.c_str(), "%5dx%5d%c", &mix.width, &mix.height, &rest);
  if (read != 2 || mix.width < 1 || mix.height < 1 || mix.width > kLargestDrawnSide ||
      mix.height > kLargestDrawnSide) {
    throw CLI::ValidationError("--size",
                               message("must be WIDTHxHEIGHT with sides up to ", kLargestDrawnSide));
  }
  if (mix.pictures == "none") mix.pictures = "photo";
}

void run_bench(const BenchOptions& options) {
  LoadTarget target = parse_target(options.url);
  target.key = options.key;
  target.beside_key = options.beside_key;
  target.model = options.model;
  target.ignore_eos = options.ignore_eos;
  target.timeout_s = options.timeout_s;
  LoadMix mix = options.mix;
  take_size(options.size, mix);
  const std::vector<LoadSession> trace =
      options.replay.empty() ? draw_trace(mix) : parse_trace(read_text_file(options.replay), options.replay);
  if (options.warm_up > 0) {
    LoadMix warm = mix;
    warm.sessions = options.warm_up;
    warm.turns = 1;
    warm.seed = mix.seed + 0x9e3779b97f4a7c15u;
    for (const TurnResult& turn : run_load(target, draw_trace(warm), 1, {}).turns)
      require(turn.ok(), "the first answer failed: ", turn.error, ' ', turn.detail);
  }
  size_t turns = 0;
  for (const LoadSession& session : trace) turns += session.turns.size();
  const LoadRun run = run_load(target, trace, options.streams, [&](size_t ended) {
    if (!options.json && turns >= 100 && ended % (turns / 10) == 0)
      std::fprintf(stderr, "%zu of %zu turns have ended\n", ended, turns);
  });
  const double never = std::numeric_limits<double>::infinity();
  const LoadObjective objective{options.first_token_ms > 0 ? options.first_token_ms / 1e3 : never,
                                options.token_ms > 0 ? options.token_ms / 1e3 : never};
  const LoadSummary summary = summary_of(run, objective);
  if (!options.record.empty()) write_bench_file(options.record, trace_text(run.sent));
  if (!options.csv.empty()) write_bench_file(options.csv, load_csv(run));
  if (!options.plot.empty()) write_bench_file(options.plot, load_picture(run));
  const std::string report =
      options.json ? load_json(summary, objective) + '\n' : load_text(summary, objective);
  std::fputs(report.c_str(), stdout);
  if (summary.answered == 0) throw CLI::RuntimeError(1);
}

}  // namespace

void add_bench_command(CLI::App& app) {
  auto options = std::make_shared<BenchOptions>();
  LoadMix& mix = options->mix;
  CLI::App* command = app.add_subcommand(
      "bench", "Measure a server with OpenAI's chat API under load: first tokens, gaps, goodput, errors");
  command->add_option("--url", options->url, "Where its API is (http://127.0.0.1:8080/v1)");
  command->add_option("-m,--model", options->model, "Name of the model; without it the first that is listed");
  command->add_option("--key", options->key, "API key");
  command->add_option("--beside-key", options->beside_key,
                      "API key of a trace's sessions beside the others (the same)");
  command->add_option("--sessions", mix.sessions, "How many sessions (16)")->check(CLI::Range(1, 1000000));
  CLI::Option* rate =
      command->add_option("--rate", mix.rate, "Open loop: sessions a second, as a Poisson process (1)")
          ->check(CLI::Range(1e-3, 1e5));
  command->add_option("--burst", mix.burst, "So many sessions come at once, at the same rate (1)")
      ->check(CLI::Range(1, 100000));
  CLI::Option* streams = command
                             ->add_option("--streams", options->streams,
                                          "Closed loop instead: so many sessions at once, one after another")
                             ->check(CLI::Range(1, 10000));
  command->add_option("--turns", mix.turns, "Turns of a session, each with all answers before it (1)")
      ->check(CLI::Range(1, 1000));
  command->add_option("--think", mix.think_s, "Seconds between an answer and the next turn (0)")
      ->check(CLI::Range(0.0, 86400.0));
  command->add_option("--text", mix.text, "Characters of a turn's text (100)")
      ->check(CLI::Range(1, 10000000));
  command->add_option("--tokens", mix.max_tokens, "The most tokens of an answer (64)")
      ->check(CLI::Range(1, 1000000));
  command->add_flag("--ignore-eos", options->ignore_eos, "Ask for all of them; not every server knows this");
  CLI::Option* pictures =
      command
          ->add_option("--pictures", mix.pictures,
                       "Pictures of the first turn: none, or drawn ones of a kind (none)")
          ->check(CLI::IsMember({"none", "mixed", "photo", "document", "screenshot", "poster"}));
  CLI::Option* file = command->add_option("--picture", mix.file, "A PNG or JPEG to send with the first turn")
                          ->check(CLI::ExistingFile);
  command->add_option("--pictures-a-turn", mix.pictures_a_turn, "How many of them (1)")
      ->check(CLI::Range(1, 100));
  CLI::Option* size =
      command->add_option("--size", options->size, "Size of every picture, instead of the kind's")
          ->option_text("WxH");
  command->add_option("--seed", mix.seed, "Of all that is drawn (1)");
  CLI::Option* replay =
      command->add_option("--replay", options->replay, "Send a recorded trace, at its times")
          ->check(CLI::ExistingFile);
  command->add_option("--record", options->record, "Write what was sent, and when, as such a trace");
  command
      ->add_option("--objective-first", options->first_token_ms,
                   "A turn is good if its first token came within so many milliseconds")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--objective-token", options->token_ms,
                   "And if its tokens after that took so many milliseconds each")
      ->check(CLI::PositiveNumber);
  command->add_option("--warm-up", options->warm_up, "Sessions before the run, which do not count (1)")
      ->check(CLI::Range(0, 1000));
  command->add_option("--timeout", options->timeout_s, "Seconds after which an answer is given up (600)")
      ->check(CLI::Range(0.1, 86400.0));
  command->add_option("--csv", options->csv, "Write a line for each turn");
  command->add_option("--plot", options->plot, "Write distributions and the course of the run as SVG");
  command->add_flag("--json", options->json, "Print one JSON object");
  streams->excludes(rate)->excludes(replay);
  file->excludes(pictures)->excludes(size);
  command->footer(
      "\nTimes are as a client sees them: from before its connection, on one thread. Every text begins "
      "otherwise, so that no cache of prompts helps.\nExamples:\n"
      "  uhd bench --streams 4 --sessions 32 --tokens 64\n"
      "  uhd bench --rate 2 --burst 4 --pictures mixed --objective-first 2000 --objective-token 100\n"
      "  uhd bench --rate 2 --record trace.jsonl; uhd bench --replay trace.jsonl --url http://other:8000/v1");
  command->callback([options] { run_bench(*options); });
}

}  // namespace uhd
