// uhd calibrate measures this machine for the planner: what reading weights and multiplying take here, how
// far a roof made of both is from other products, and what links between ranks take.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "app/calibration_report.h"
#include "app/commands.h"
#include "app/least_seconds.h"
#include "app/load_pictures.h"
#include "app/run_as_rank.h"
#include "base/error.h"
#include "base/host_memory.h"
#include "base/numa.h"
#include "cluster/idle_wait.h"
#include "kernels/backend.h"
#include "model/vision/png_writer.h"
#include "plan/operation_cost.h"

namespace uhd {
namespace {

constexpr int64_t kSide = 4096;  // of the products' weights
constexpr const char* kNoName = "this machine";
constexpr const char* kStandardOutput = "-";

struct CalibrateOptions {
  std::optional<std::string> name;
  std::string out;
  BackendOptions backend;
  double budget_s = 2;  // of each measurement
  bool json = false;
};

// Products of rows with weights of 4096 x 4096, of which there are more than a cache holds.
std::vector<MeasuredProduct> measure_products(Backend& backend, double budget_s) {
  constexpr int64_t kMost = 512;
  constexpr size_t kWeights = 6;
  std::vector<uint16_t> host(static_cast<size_t>(kSide) * kSide);
  for (size_t i = 0; i < host.size(); ++i)
    host[i] = static_cast<uint16_t>(0x3c00 | (i * 2654435761u >> 16 & 0x80ff));
  std::vector<Weight> weights;
  for (size_t i = 0; i < kWeights; ++i)
    weights.push_back(backend.pack(Tensor(host.data(), DType::bf16, {kSide, kSide}), WeightFormat::bf16));
  const auto bytes = static_cast<size_t>(kMost * kSide) * size_of(backend.activation_dtype());
  const DeviceBuffer in = backend.allocate(bytes), out = backend.allocate(bytes);
  std::fill_n(static_cast<std::byte*>(in.as(DType::u8, {static_cast<int64_t>(bytes)}).raw()), bytes,
              std::byte{0});
  std::vector<MeasuredProduct> products;
  size_t next = 0;
  for (const int64_t rows : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}) {
    const Tensor x = in.as(backend.activation_dtype(), {rows, kSide});
    const Tensor y = out.as(backend.activation_dtype(), {rows, kSide});
    products.push_back(
        {rows, least_seconds(budget_s, [&] { backend.matmul(y, x, weights[next++ % kWeights]); })});
  }
  return products;
}

void require_plain_name(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
  });
  require(plain && !name.empty() && name.size() <= 64,
          "--name must be 1 to 64 printable ASCII characters without quotes and backslashes");
}

// Returns the name without what does not belong in a file's name.
std::string plain_file_name(const std::string& name) {
  std::string plain;
  for (const char c : name) {
    const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_';
    if (fits) {
      plain += c;
    } else if (!plain.empty() && plain.back() != '-') {
      plain += '-';
    }
  }
  plain.erase(0, plain.find_first_not_of(".-"));
  plain.erase(plain.find_last_not_of(".-") + 1);
  require(!plain.empty(), "--name ", name, " has nothing that a file can be called: give --out");
  return plain;
}

// Returns the file to write; empty for standard output.
std::filesystem::path file_of(const CalibrateOptions& options) {
  if (options.out == kStandardOutput) return {};
  if (!options.out.empty() || !options.name) return options.out;
  return std::filesystem::path("configs/machines") / (plain_file_name(*options.name) + ".yaml");
}

Calibration calibrate(const CalibrateOptions& options, const LinkTimes& links) {
  const auto backend = make_backend(options.backend);
  Calibration found{.backend = backend->description(),
                    .products = measure_products(*backend, options.budget_s),
                    .links = links};
  const auto cost = [](int64_t rows) { return matmul_cost(static_cast<double>(rows), kSide, kSide, 2, 4); };
  DeviceRoof roof{};
  roof.memory_speed = 2.0 * kSide * kSide / found.products.front().measured_s;
  roof.bf16_flops = cost(found.products.back().rows).flops / found.products.back().measured_s;
  for (MeasuredProduct& product : found.products) product.expected_s = roof_seconds(cost(product.rows), roof);
  const std::string picture = encode_png(draw_picture({"photo", 2000, 1500, 1}));
  found.decode_s = least_seconds(options.budget_s, [&] { decode_image(picture, {}, false); });
  found.machine = {.name = options.name.value_or(kNoName),
                   .bf16_tflops = roof.bf16_flops / 1e12,
                   .memory_gb_s = roof.memory_speed / 1e9,
                   .memory_gb = static_cast<double>(available_memory()) / 1e9,
                   .link_gb_s = links.sum_speed() / 1e9,
                   .multiprocessors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency())),
                   .measured = true,
                   .host = backend->host_memory()};
  return found;
}

// Sums go by the communicator that LLM ranks get, on cores such as they get.
LinkTimes measure_links_of_ranks(World& world, double budget_s) {
  ClusterOptions cluster;
  cluster.tensor_parallel = world.size();
  const Topology topology = world.agree_topology(cluster);
  // A thread of its own, so that what else is measured has all cores.
  LinkTimes links = std::async(std::launch::async, [&] {
                      stay_on_node(world.local_rank(), world.local_size());
                      return measure_links(*world.tensor_parallel(topology), budget_s);
                    }).get();
  const std::set<std::string> hosts(world.hosts().begin(), world.hosts().end());
  links.hosts = static_cast<int>(hosts.size());
  return links;
}

// The other ranks sleep while rank 0 measures, so that it has the memory and the cores of its host.
std::optional<Calibration> calibrate_as_rank(World& world, const CalibrateOptions& options) {
  if (world.size() == 1) return calibrate(options, measure_links_of_threads(options.budget_s));
  const LinkTimes links = measure_links_of_ranks(world, options.budget_s);
  if (world.rank() > 0) {
    for (IdleWait wait; !world.told_to_end(0);) wait.once();
    return {};
  }
  Calibration found = calibrate(options, links);
  for (int rank = 1; rank < world.size(); ++rank) world.tell_end(rank);
  return found;
}

void write_file(const std::filesystem::path& path, const std::string& written) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << written;
  file.close();
  require(file.good(), path.string(), ": cannot be written");
}

void run_calibrate(const CalibrateOptions& options) {
  if (options.name) require_plain_name(*options.name);
  const std::filesystem::path path = file_of(options);
  std::optional<Calibration> found;
  run_as_rank([&](World& world) { found = calibrate_as_rank(world, options); });
  if (!found) return;
  std::string printed = calibration_yaml(*found);
  if (!path.empty()) {
    write_file(path, printed);
    printed = path.string() + '\n';
  }
  if (options.json) printed = calibration_json(*found) + '\n';
  std::fputs(printed.c_str(), stdout);
}

}  // namespace

void add_calibrate_command(CLI::App& app) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command =
      app.add_subcommand("calibrate", "Measure this machine's processors for uhd plan, in half a minute");
  command->add_option("--name", options->name, message("What the plan calls it (", kNoName, ")"));
  command->add_option("--out", options->out,
                      "YAML file to write; -: standard output; without it configs/machines/NAME.yaml, or "
                      "standard output if there is no --name");
  command->add_option("--threads", options->backend.threads, "Threads; 0: every core (0)")
      ->check(CLI::Range(0, 4096));
  command->add_option("--budget", options->budget_s, "Seconds of each measurement (2)")
      ->check(CLI::Range(0.01, 60.0));
  command->add_flag("--json", options->json, "Print one JSON object; the file stays YAML");
  command->footer(
      "\nNothing else should run meanwhile. Sums and transfers are those of two threads, or of ranks under "
      "mpirun.\nExamples:\n"
      "  uhd calibrate --name \"EPYC 9355, 2 cores\"\n"
      "  uhd plan --model models/nano-uhd --machine configs/machines/EPYC-9355-2-cores.yaml\n"
      "  mpirun --hostfile hosts --bind-to none -n 2 uhd calibrate --name \"two EPYC 9355\" --json");
  command->callback([options] { run_calibrate(*options); });
}

}  // namespace uhd
