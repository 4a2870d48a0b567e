#include "kernels/plugin.h"
#include "tests/model/golden_model.h"

namespace uhd {

std::unique_ptr<Backend> test_backend(WeightFormat format) {
  return make_cuda_backend({.kind = "cuda", .compute = format});
}

}  // namespace uhd
