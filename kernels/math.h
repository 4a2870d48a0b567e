// Defines scalar functions that every backend and the tests share.
#pragma once

#include <cmath>

// Device code includes this behind kernels/cuda/device.cuh, which says how a function is marked for it.
#ifndef UHD_DEVICE_FUNCTION
#define UHD_DEVICE_FUNCTION
#endif

namespace uhd {

UHD_DEVICE_FUNCTION inline float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }
UHD_DEVICE_FUNCTION inline float silu(float x) { return x * sigmoid(x); }
UHD_DEVICE_FUNCTION inline float quick_gelu(float x) { return x * sigmoid(1.702f * x); }
UHD_DEVICE_FUNCTION inline float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678f)); }
UHD_DEVICE_FUNCTION inline float gelu_tanh(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
}

// Computes the four weights of cubic convolution with a = −0.75 at fraction t of the way from sample 1 to
// sample 2.
UHD_DEVICE_FUNCTION inline void cubic_weights(float t, float weights[4]) {
  constexpr float a = -0.75f;
  const auto near = [](float x) { return ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f; };
  const auto far = [](float x) { return ((a * x - 5.0f * a) * x + 8.0f * a) * x - 4.0f * a; };
  weights[0] = far(t + 1.0f);
  weights[1] = near(t);
  weights[2] = near(1.0f - t);
  weights[3] = far(2.0f - t);
}

}  // namespace uhd
