// uhd calibrate measures this machine for the planner: what reading weights and multiplying take here, and
// how far a roof made of both is from other products.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sstream>
#include <thread>

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

struct CalibrateOptions {
  std::string name, out;
  BackendOptions backend;
  double budget_s = 2;  // of each measurement
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

struct Product {
  int64_t rows;
  double measured_s = 0;
  double expected_s = 0;
  double residual() const { return measured_s / expected_s - 1; }
};

// Products of rows with weights of 4096 x 4096, of which there are more than a cache holds.
std::vector<Product> measure_products(Backend& backend, double budget_s) {
  constexpr int64_t kSide = 4096, kMost = 512;
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
  std::vector<Product> products;
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

void run_calibrate(const CalibrateOptions& options) {
  const bool plain = std::all_of(options.name.begin(), options.name.end(), [](unsigned char c) {
    return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
  });
  require(plain && !options.name.empty() && options.name.size() <= 64,
          "--name must be 1 to 64 printable ASCII characters without quotes and backslashes");
  const auto backend = make_backend(options.backend);
  std::vector<Product> products = measure_products(*backend, options.budget_s);
  const double weights = 2.0 * 4096 * 4096;
  const auto cost = [](int64_t rows) { return matmul_cost(static_cast<double>(rows), 4096, 4096, 2, 4); };
  DeviceRoof machine{.name = options.name.c_str()};
  machine.memory_speed = weights / products.front().measured_s;
  machine.bf16_flops = cost(products.back().rows).flops / products.back().measured_s;
  double worst = 0;
  for (Product& product : products) {
    product.expected_s = roof_seconds(cost(product.rows), machine);
    worst = std::max(worst, std::abs(product.residual()));
  }
  const std::string picture = encode_png(draw_picture({"photo", 2000, 1500, 1}));
  const double decode = least_seconds(options.budget_s, [&] { decode_image(picture, {}, false); });
  std::ostringstream yaml;
  yaml.precision(4);
  yaml << "# Measured by `uhd calibrate` on " << backend->description()
       << ".\n# `uhd plan --machine` with this file tells expected times, and not what no device can beat.\n"
       << "name: \"" << options.name << "\"\nmeasured: true\n"
       << (backend->host_memory() ? "host: true\n" : "") << "bf16_tflops: " << machine.bf16_flops / 1e12
       << "  # products of 512 rows\n"
       << "memory_gb_s: " << machine.memory_speed / 1e9 << "  # of weights, in products of one row\n"
       << "memory_gb: " << static_cast<double>(available_memory()) / 1e9 << "  # that could be taken then\n"
       << "link_gb_s: " << measure_sums(options.budget_s) / 1e9 << "  # sums of two ranks, as threads\n"
       << "multiprocessors: " << std::max(1u, std::thread::hardware_concurrency()) << "  # threads\n"
       << "# A picture of 3 megapixels as PNG is decoded in " << decode * 1e3 << " ms by one thread.\n"
       << "# Products of 4096x4096, measured and by the larger of both rates; residuals up to "
       << std::lround(100 * worst) << " %:\n";
  for (const Product& p : products) {
    yaml << "#   " << p.rows << " rows: " << p.measured_s * 1e3 << " ms, " << p.expected_s * 1e3 << " ms, "
         << std::lround(100 * p.residual()) << " %\n";
  }
  if (options.out.empty()) {
    std::fputs(yaml.str().c_str(), stdout);
    return;
  }
  std::ofstream file(options.out, std::ios::binary);
  file << yaml.str();
  file.close();
  require(file.good(), options.out, ": cannot be written");
  std::printf("%s\n", options.out.c_str());
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
  command->footer(
      "\nNothing else should run meanwhile.\nExamples:\n"
      "  uhd calibrate --name \"EPYC 9355, 2 cores\" --out configs/machines/epyc.yaml\n"
      "  uhd plan --model models/nano-uhd --machine configs/machines/epyc.yaml");
  command->callback([options] { run_calibrate(*options); });
}

}  // namespace uhd
