// Holds the findings of `uhd check --model`, and writes them for programs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/config.h"
#include "model/weights/checkpoint.h"
#include "plan/rank_memory.h"

namespace uhd {

inline constexpr int kKvTokens = 1024;  // their keys and values are told

struct CheckReport {
  ModelConfig model;
  std::string format;  // the format of the weights in memory
  int ranks = 1;       // LLM ranks
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Checkpoint> tower;  // null: it is in the checkpoint, or there is none
  std::vector<std::string> problems;
  std::vector<std::string> unused;  // tensors
  // The memory of each rank, if all are on devices, or on the host.
  struct Memory {
    RankMemory llm;
    int64_t kv_bytes = 0;              // keys and values of kKvTokens, on one LLM rank
    int64_t rows_bytes = 0;            // visual rows that are kept; on the host those of kKvTokens
    std::optional<TowerMemory> tower;  // the tower's memory on one encoder rank
    bool tower_in_f32 = false;  // the tower is in f32, as the checkpoint asks, though the weights are not
  };
  Memory device, host;
  int tokens = 0;  // tokens that the tokenizer knows
};

// The program and its libraries take so much of a process on the host, as it was measured.
inline constexpr int64_t kProgramBytes = int64_t{18} << 20;

// Returns what a process on the host takes that is an LLM rank and encodes, with kKvTokens in use.
int64_t host_total(const CheckReport& report);

// Returns one line, which names every tensor if `list` is true.
std::string check_json(const CheckReport& report, bool list);

}  // namespace uhd
