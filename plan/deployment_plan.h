// Plans what a model could do on devices that nobody has rented yet: the memory of a rank, and the roofs of
// decoding, prefill and encoding. These are pure functions of the model's config and the figures of data
// sheets (plan/operation_cost.h, plan/step_cost.h); nothing is run. No device can be faster than these
// figures. It can be slower: costs that step_cost.h leaves out are left out here too.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/options.h"
#include "kernels/weight.h"
#include "model/config.h"
#include "model/vision/patch_grid.h"
#include "model/vision/slice_plan.h"
#include "plan/operation_cost.h"
#include "plan/rank_memory.h"

namespace uhd {

// A PlanQuestion describes the load. Weights, activations and cache are bf16 unless `format` says otherwise.
struct PlanQuestion {
  WeightFormat format = WeightFormat::bf16;
  int64_t context = 4096;          // tokens of each sequence that decodes
  Size picture{672, 1008};         // one in every request, if the model sees images
  int64_t prompt = 64;             // tokens of text around it
  int64_t answer = 256;            // tokens; prefill gives the first of them
  bool separate_encoders = false;  // the tower has ranks of its own; else the LLM ranks encode
  EngineOptions engine;            // the sizes of steps, pages and caches, and the pages' share
};

// A RequestShape is one request, exactly: it follows from the picture's size alone, as the engine plans it.
struct RequestShape {
  SlicePlan picture;             // set for models that see images
  std::vector<PatchGrid> grids;  // the grid of every piece: the slices, then the overview; empty: no picture
  std::vector<int> patches;      // likewise
  std::vector<int> piece_rows;   // visual tokens, likewise
  int64_t visual_tokens = 0;
  int64_t layout_tokens = 0;  // tokens between and around the pieces
  int64_t prompt_rows = 0;    // rows of the whole prompt, text included
  int64_t tokens = 0;         // tokens of the prompt and the answer
};

// Throws an Error if the picture cannot be planned or is beyond the options' limits for images, if the
// request is longer than the model's context, if a number of tokens is negative, or if there is no answer.
RequestShape request_shape(const ModelConfig& model, const PlanQuestion& question);

struct DecodeRoof {
  int64_t sequences = 0;
  bool fits = false;
  double seconds = 0;  // the time of one step: a token of each sequence (TPOT)
  double tokens_per_s = 0;
};

// A RankPlan describes one number of ranks on one kind of device. Memory is that of the fullest rank, in
// bytes.
struct RankPlan {
  int ranks = 1;
  RankMemory memory;
  TowerMemory tower;     // the tower's, if this rank encodes
  int64_t kv_bytes = 0;  // memory for pages: the options' share of what the fields above leave
  int64_t kv_tokens = 0;
  int64_t sequences = 0;      // sequences of the question's context that fit at once; 0: it does not fit
  int64_t missing_bytes = 0;  // the memory that a device lacks, if not one sequence fits
  // The fields below are zero if it does not fit.
  std::vector<DecodeRoof> decode;  // roofs for 1, 8 and 32 sequences and the most that fit (at most 65536)
  double encode_s = 0;             // every piece of the picture, in one pass on one device
  double prefill_s = 0;            // every row of the prompt, in one step
  // The least time to the first token. LLM ranks that encode do both, one after the other. Encoders of their
  // own may be one for each piece: the time is then that of the piece that binds, alone on its encoder, and
  // of the rows from it on; all text counts as if it came before.
  double first_token_s = 0;
  int64_t serving = 0;        // requests at once, if as many as fit decode
  double requests_per_s = 0;  // the LLM ranks' rate at that load, with prompts spread over the steps
  int encoders = 0;           // ranks of one device that encode as many pictures in that time
  int token_budget = 0;       // the engine.token_budget up to which rows cost little; 0: they always cost
  int hidden_rows = 0;        // rows of prompts, beside a decode step of `hidden_beside` sequences
  int hidden_beside = 0;
  double hidden_slowdown = 0;  // the share by which these rows slow that step: 0.1 is a tenth
};

// Throws an Error if the model cannot be divided by `ranks`, or if the context is beyond the model's.
RankPlan plan_ranks(const ModelConfig& model, const PlanQuestion& question, const RequestShape& request,
                    const DeviceRoof& device, int ranks);

// RankChoices holds those of the given numbers of ranks that divide the model, and for each other number one
// line that says why it does not.
struct RankChoices {
  std::vector<int> ranks;
  std::vector<std::string> refused;
};
RankChoices rank_choices(const LanguageConfig& language, const std::vector<int>& wanted);

}  // namespace uhd
