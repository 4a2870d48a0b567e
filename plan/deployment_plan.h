// What a model could do on devices that nobody has rented yet: memory of a rank, and the roofs of decoding,
// prefill and encoding. Pure functions of the model's config and the figures of data sheets
// (plan/operation_cost.h, plan/step_cost.h); nothing is run, and no device can be faster than what is said
// here. It can be slower: what step_cost.h leaves out is left out here too.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/options.h"
#include "kernels/weight.h"
#include "model/config.h"
#include "model/vision/slice_plan.h"
#include "plan/operation_cost.h"
#include "plan/rank_memory.h"

namespace uhd {

// What is asked of the devices. Weights, activations and cache are bf16 where `format` does not say else.
struct PlanQuestion {
  WeightFormat format = WeightFormat::bf16;
  int64_t context = 4096;          // tokens of each sequence that decodes
  Size picture{672, 1008};         // one in every request, where the model sees images
  int64_t prompt = 64;             // tokens of text around it
  int64_t answer = 256;            // tokens, the first of them by the prefill
  bool separate_encoders = false;  // the tower has ranks of its own; else the LLM ranks encode
  EngineOptions engine;            // the sizes of steps, pages and caches, and the pages' share
};

// One request, exactly: from the picture's size alone, as the engine plans it.
struct RequestShape {
  SlicePlan picture;            // of models that see images
  std::vector<int> patches;     // of every piece: the slices, then the overview; empty: no picture
  std::vector<int> piece_rows;  // visual tokens of every piece, likewise
  int64_t visual_tokens = 0;
  int64_t layout_tokens = 0;  // between and around the pieces
  int64_t prompt_rows = 0;    // with the text
  int64_t tokens = 0;         // with the answer
};

// Throws Error where the picture cannot be planned, is beyond the options' limits for images, or the request
// is longer than the model's context; also where a number of tokens is negative, or there is no answer.
RequestShape request_shape(const ModelConfig& model, const PlanQuestion& question);

struct DecodeRoof {
  int64_t sequences = 0;
  bool fits = false;
  double seconds = 0;  // of one step: a token of each sequence (TPOT)
  double tokens_per_s = 0;
};

// One number of ranks on one kind of device. Memory is that of the fullest rank, in bytes.
struct RankPlan {
  int ranks = 1;
  RankMemory memory;
  int64_t tower = 0;     // weights, where this rank encodes
  int64_t kv_bytes = 0;  // for pages: the options' share of what the above leave
  int64_t kv_tokens = 0;
  int64_t sequences = 0;      // of the question's context at once; 0: it does not fit
  int64_t missing_bytes = 0;  // of a device's memory, where not one sequence fits
  // Below: zero where it does not fit.
  std::vector<DecodeRoof> decode;  // of 1, 8 and 32 sequences and the most that fit (at most 65536)
  double encode_s = 0;             // every piece of the picture, in one pass on one device
  double prefill_s = 0;            // every row of the prompt, in one step
  // Least time to the first token. LLM ranks that encode: both, one after the other. Encoders of their own
  // may be one for each piece: then the piece that binds, alone on its encoder, and the rows from it on; all
  // text counts as if it came before.
  double first_token_s = 0;
  int64_t serving = 0;        // requests at once when as many as fit decode
  double requests_per_s = 0;  // of the LLM ranks then, prompts spread over the steps
  int encoders = 0;           // ranks of one device that encode as many pictures in the time
  int token_budget = 0;       // engine.token_budget up to which rows cost little; 0: they always cost
  int hidden_rows = 0;        // of prompts, beside a decode step of `hidden_beside` sequences
  int hidden_beside = 0;
  double hidden_slowdown = 0;  // of that step by these rows: 0.1 is a tenth
};

// Throws Error where the model is not divided by `ranks`, or the context is beyond the model's.
RankPlan plan_ranks(const ModelConfig& model, const PlanQuestion& question, const RequestShape& request,
                    const DeviceRoof& device, int ranks);

// Of these numbers of ranks, those that divide the model, and one line for each other: why it does not.
struct RankChoices {
  std::vector<int> ranks;
  std::vector<std::string> refused;
};
RankChoices rank_choices(const LanguageConfig& language, const std::vector<int>& wanted);

}  // namespace uhd
