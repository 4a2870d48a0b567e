#include "tests/model/golden_model.h"

namespace uhd {

std::unique_ptr<Backend> test_backend(WeightFormat format) {
  return make_backend({.threads = 1, .compute = format});
}

}  // namespace uhd
