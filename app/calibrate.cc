// uhd calibrate measures this machine for the planner: what reading weights and multiplying take here, and
// how far a roof made of both is from other products.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <thread>

#include "app/calibration_report.h"
#include "app/commands.h"
#include "app/load_pictures.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/host_memory.h"
#include "cluster/host/local_communicator.h"
#include "kernels/backend.h"
#include "model/vision/png_writer.h"
#include "plan/operation_cost.h"

namespace uhd {
namespace {

constexpr int64_t kSide = 4096;  // of the products' weights

struct CalibrateOptions {
  std::string name, out;
  BackendOptions backend;
  double budget_s = 2;  // of each measurement
  bool json = false;
};

// Returns the seconds of one call: the fifth percentile of as many as fit the budget, so that what other
// processes take is mostly left out.
double least_seconds(double budget_s, const std::function<void()>& call) {
  call();
  std::vector<double> samples;
  const TimePoint end = Clock::now() + from_seconds(budget_s);
  while (samples.size() < 5 || (Clock::now() < end && samples.size() < 100000)) {
    const TimePoint begin = Clock::now();
    call();
    samples.push_back(seconds(Clock::now() - begin));
  }
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 20];
}

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

// Bytes a second one way, of a sum over two ranks that are threads.
double measure_sums(double budget_s) {
  constexpr int64_t kFloats = int64_t{1} << 20;
  constexpr int kSums = 20;
  auto ranks = make_local_communicators(2);
  std::vector<float> values[2] = {std::vector<float>(kFloats, 1), std::vector<float>(kFloats, 1)};
  const auto sum = [&](int rank) {
    for (int i = 0; i < kSums; ++i)
      ranks[static_cast<size_t>(rank)]->all_reduce(Tensor(values[rank].data(), DType::f32, {kFloats}));
  };
  const double t = least_seconds(budget_s, [&] {
    std::jthread other(sum, 1);
    sum(0);
  });
  return kSums * kFloats * 4.0 / t;  // 2 (n − 1) / n of the bytes, of which n = 2
}

void require_plain_name(const std::string& name) {
  const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
  });
  require(plain && !name.empty() && name.size() <= 64,
          "--name must be 1 to 64 printable ASCII characters without quotes and backslashes");
}

Calibration calibrate(const CalibrateOptions& options) {
  const auto backend = make_backend(options.backend);
  Calibration found{.backend = backend->description(),
                    .products = measure_products(*backend, options.budget_s)};
  const auto cost = [](int64_t rows) { return matmul_cost(static_cast<double>(rows), kSide, kSide, 2, 4); };
  DeviceRoof roof{};
  roof.memory_speed = 2.0 * kSide * kSide / found.products.front().measured_s;
  roof.bf16_flops = cost(found.products.back().rows).flops / found.products.back().measured_s;
  for (MeasuredProduct& product : found.products) product.expected_s = roof_seconds(cost(product.rows), roof);
  const std::string picture = encode_png(draw_picture({"photo", 2000, 1500, 1}));
  found.decode_s = least_seconds(options.budget_s, [&] { decode_image(picture, {}, false); });
  found.machine = {.name = options.name,
                   .bf16_tflops = roof.bf16_flops / 1e12,
                   .memory_gb_s = roof.memory_speed / 1e9,
                   .memory_gb = static_cast<double>(available_memory()) / 1e9,
                   .link_gb_s = measure_sums(options.budget_s) / 1e9,
                   .multiprocessors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency())),
                   .measured = true,
                   .host = backend->host_memory()};
  return found;
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  require(file.good(), path, ": cannot be written");
}

void run_calibrate(const CalibrateOptions& options) {
  require_plain_name(options.name);
  const Calibration found = calibrate(options);
  std::string printed = calibration_yaml(found);
  if (!options.out.empty()) {
    write_file(options.out, printed);
    printed = options.out + '\n';
  }
  if (options.json) printed = calibration_json(found) + '\n';
  std::fputs(printed.c_str(), stdout);
}

}  // namespace

void add_calibrate_command(CLI::App& app) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App* command =
      app.add_subcommand("calibrate", "Measure this machine's processors for uhd plan, in half a minute");
  command->add_option("--name", options->name, "What the plan calls it")->default_str("this machine");
  options->name = "this machine";
  command->add_option("--out", options->out, "YAML file to write; without it to standard output");
  command->add_option("--threads", options->backend.threads, "Threads; 0: every core (0)")
      ->check(CLI::Range(0, 4096));
  command->add_option("--budget", options->budget_s, "Seconds of each measurement (2)")
      ->check(CLI::Range(0.01, 60.0));
  command->add_flag("--json", options->json, "Print one JSON object; the file of --out stays YAML");
  command->footer(
      "\nNothing else should run meanwhile.\nExamples:\n"
      "  uhd calibrate --name \"EPYC 9355, 2 cores\" --out configs/machines/epyc.yaml\n"
      "  uhd plan --model models/nano-uhd --machine configs/machines/epyc.yaml");
  command->callback([options] { run_calibrate(*options); });
}

}  // namespace uhd
