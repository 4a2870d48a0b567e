// Usage: uhd_bench_images --model DIR [--isa NAME] [--runs N] FILE ...
// It times what the leader does with the bytes of a picture (model/vision/slicer.h), on one thread and in
// that thread's CPU time: the best and the median run of decoding alone and of the whole way to slices.
#include <ctime>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/vision/slicer.h"

namespace uhd {
namespace {

double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  require(file.good(), "cannot read ", path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

struct Times {
  double best, median;
};

template <class Body>
Times time_of(int runs, const Body& body) {
  std::vector<double> seconds;
  for (int i = 0; i <= runs; ++i) {
    const double start = cpu_seconds();
    body();
    if (i > 0) seconds.push_back(cpu_seconds() - start);
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

void measure(const char* path, const SlicingConfig& slicing, const RowKernels& kernels, int runs) {
  const std::string bytes = read_file(path);
  const ImageLimits limits;
  const ImageHeader header = read_image_header(bytes, limits, false);
  const SlicePlan plan = plan_image(header.oriented, slicing, limits);
  const Times decoding = time_of(runs, [&] { decode_rows(bytes, header, false, [](const uint8_t*) {}); });
  const Times all = time_of(runs, [&] { cut_encoded(bytes, limits, false, plan, slicing, "", kernels); });
  std::printf("%6.1f MP %3d pieces  decode %7.2f (%7.2f) ms  in all %7.2f (%7.2f) ms  %s\n",
              1e-6 * static_cast<double>(plan.image.width) * static_cast<double>(plan.image.height),
              plan.pieces(), decoding.best * 1e3, decoding.median * 1e3, all.best * 1e3, all.median * 1e3,
              path);
}

int run(int argc, char** arguments) {
  std::string model, isa = "auto";
  int runs = 20;
  std::vector<const char*> files;
  for (int i = 1; i < argc; ++i) {
    const bool value_follows = i + 1 < argc;
    if (std::strcmp(arguments[i], "--model") == 0 && value_follows)
      model = arguments[++i];
    else if (std::strcmp(arguments[i], "--isa") == 0 && value_follows)
      isa = arguments[++i];
    else if (std::strcmp(arguments[i], "--runs") == 0 && value_follows)
      runs = std::max(1, std::atoi(arguments[++i]));
    else
      files.push_back(arguments[i]);
  }
  require(!model.empty() && !files.empty(),
          "usage: uhd_bench_images --model DIR [--isa NAME] [--runs N] FILE ...");
  const ModelConfig config = read_model_config(model);
  std::printf("CPU time of one thread, best (median) of %d\n", runs);
  for (const char* file : files) measure(file, config.slicing, row_kernels(isa), runs);
  return 0;
}

}  // namespace
}  // namespace uhd

int main(int argc, char** arguments) {
  try {
    return uhd::run(argc, arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
