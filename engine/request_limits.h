// This table holds the ranges of a request's values: the API refuses by it, and the engine checks by it.
#pragma once

#include <cstddef>

namespace uhd::request_limits {

struct Range {
  double least;
  double most;
};

inline constexpr Range kTemperature{0, 2};
inline constexpr Range kTopP{0, 1};  // 0 itself is not allowed
inline constexpr Range kMinP{0, 1};
inline constexpr Range kRepetitionPenalty{0.01, 100};
inline constexpr Range kPresencePenalty{-2, 2};
inline constexpr Range kFrequencyPenalty{-2, 2};
inline constexpr Range kLogitBias{-100, 100};
inline constexpr int kMostPriority = 100;  // the bound on both sides of 0
inline constexpr size_t kMostLogitBiases = 1024;
inline constexpr int kMostLogprobs = 20;
inline constexpr size_t kMostStops = 16;
inline constexpr size_t kLongestStop = 1024;  // bytes
inline constexpr size_t kMostStopIds = 1024;
inline constexpr size_t kMostAllowedIds = 8192;
inline constexpr size_t kMostBadWords = 256;
inline constexpr size_t kLongestBadWord = 256;       // bytes
inline constexpr size_t kLongestGrammar = 64 << 10;  // bytes
inline constexpr size_t kMostChoices = 1024;         // texts that an answer may be one of

}  // namespace uhd::request_limits
