// uhd serve reads the settings, finds out which rank this process is, and does that rank's part. On the
// leader it serves HTTP until it is asked to stop.
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <cstdio>

#include "app/commands.h"
#include "app/run_as_rank.h"
#include "app/service_manager.h"
#include "app/settings_option.h"
#include "app/stop_signals.h"
#include "app/usage_error.h"
#include "base/error.h"
#include "base/log.h"
#include "engine/launch/launch.h"
#include "model/weights/load_progress.h"
#include "net/http_server.h"
#include "plan/request_cost.h"

namespace uhd {
namespace {

constexpr Duration kGlance = std::chrono::milliseconds(50);

const std::string kJsonHelp = "With --print-config: print one JSON object";

// First signal: no new requests, running ones finish within the limit. Second: now.
void wait_for_end(const NetOptions& net, StopSignals& signals, HttpServer& server, Engine& engine) {
  while (signals.wait(0, std::chrono::hours(1)) == 0) {
  }
  log_info("draining", "limit_s", net.drain_timeout_s);
  tell_service_manager("STOPPING=1");
  server.drain();
  engine.drain();
  const TimePoint limit = Clock::now() + from_seconds(net.drain_timeout_s);
  while (!(server.idle() && engine.idle())) {
    if (signals.wait(1, kGlance) > 1 || Clock::now() > limit) {
      log_warning("stopping with requests still running");
      break;
    }
  }
}

// Lets SIGHUP reach the server, for as long as both are there.
class Reloads {
 public:
  Reloads(StopSignals& signals, HttpServer& server) : signals_(signals) {
    signals_.on_hangup([&server] { server.reload(); });
  }
  ~Reloads() { signals_.on_hangup({}); }
  Reloads(const Reloads&) = delete;
  Reloads& operator=(const Reloads&) = delete;

 private:
  StopSignals& signals_;
};

// The arithmetic follows from the model's JSON files alone.
PlanPrice price_of(const EngineOptions& options) {
  auto model =
      std::make_shared<const ModelConfig>(read_model_config(options.model_path, options.vision_tower));
  return [model](const RequestPlan& plan) { return request_cost(*model, plan); };
}

void serve_http(const ServerConfig& config, StopSignals& signals, HttpServer& server, Engine& engine) {
  signals.count();
  server.start(engine, price_of(config.engine));
  const Reloads reloads(signals, server);  // now that the server is open
  print_line(message("uhd serves ", engine.model().id, " at ", server.url(), "/v1"));
  log_info("ready", "url", server.url(), "pid",
           getpid());  // of the leader: whom to send SIGTERM under mpirun
  tell_service_manager("READY=1");
  wait_for_end(config.net, signals, server, engine);
  server.stop();
  log_info("stopped");
}

void warn_of_exposure(const NetOptions& net) {
  const bool loopback = net.host == "localhost" || net.host == "::1" || net.host.starts_with("127.");
  if (!loopback && net.api_keys_file.empty()) {
    log_warning("anyone who can reach this address can use the model; set net.api_keys_file", "host",
                net.host);
  }
}

NetOptions net_options(const ServerConfig& config) {
  NetOptions net = config.net;
  net.samples = std::filesystem::path(config.engine.model_path) / "demo";
  return net;
}

void run(const ServerConfig& config, StopSignals& signals, World& world) {
  // If the leader is known before the ranks have met, a busy port is found before a model is loaded.
  const bool leads = world.rank() == 0 && config.cluster.role != "encoder";
  const bool may_lead = leads || config.cluster.role == "llm";
  if (world.size() > 1 && !leads) signals.ignore();
  std::unique_ptr<HttpServer> server;
  if (leads) {
    server = std::make_unique<HttpServer>(net_options(config));
    server->open(load_state);
    log_info("loading", "url", server->url(), "model", config.engine.model_path.string());
  }
  if (may_lead) warn_of_exposure(config.net);
  run_rank(world, config.engine, config.cluster, [&](Engine& engine) {
    if (server == nullptr) server = std::make_unique<HttpServer>(net_options(config));
    serve_http(config, signals, *server, engine);
    server.reset();
  });
}

void serve(const ServerConfig& config) {
  if (config.engine.model_path.empty()) {
    throw UsageError("model.path: say which checkpoint to serve, for example --model.path=models/nano-uhd");
  }
  StopSignals signals;
  run_as_rank([&](World& world) { run(config, signals, world); });
}

}  // namespace

void add_serve_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("serve", "Serve a model over HTTP with OpenAI's API");
  auto settings = std::make_shared<SettingsOption>();
  CLI::Option* json = command->add_flag("--json", kJsonHelp);
  settings->add_to(*command);
  json->needs("--print-config");
  command->footer(
      "Settings may also stand in the file, as section: {key: value}, or in the environment, as "
      "UHD_SECTION_KEY=value.\nThe command line comes before the environment, and that before the file.\n"
      "\nExamples:\n"
      "  uhd serve --model.path=models/nano-uhd\n"
      "  uhd serve --config configs/single.yaml --net.port=8081\n"
      "  mpirun --enable-recovery --bind-to none --oversubscribe -n 4 uhd serve --config "
      "configs/tp2-enc2.yaml\n"
      "  uhd serve --net.host=0.0.0.0 --net.api_keys_file=/etc/uhd/api_keys\n"
      "  uhd serve --encoders.count=2 --print-config --json\n"
      "SIGTERM or one SIGINT lets running requests finish; a second one stops at once. SIGHUP reads API keys "
      "and the certificate again.");
  command->callback([command, settings] { settings->run(*command, serve); });
}

}  // namespace uhd
