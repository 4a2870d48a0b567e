// EngineOptions holds the settings that an engine gets at start: plain data with defaults that work, which
// configs/ fills in. ClusterOptions says how many ranks there are and how they find each other; facts of the
// model come from the checkpoint, never from here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "kernels/backend.h"
#include "model/vision/image.h"

namespace uhd {

struct ImageOptions {
  ImageLimits limits;
  int max_images = 16;            // images in one request
  int threads = 2;                // threads of the leader that decode, resize and cut
  bool reference_compat = false;  // treats EXIF and alpha as the published code does
  int max_slices = 0;             // 0: the checkpoint's
  int prescale_longest = -1;      // -1: the checkpoint's; 0: off
};

struct EncodeOptions {
  // Patches that one pass of the vision tower takes; one piece always fits. 0: 1024 (host), 4096 (device)
  int64_t batch_patches = 0;
  int retries = 2;     // tries of one slice, after its first
  double wait_s = 10;  // image requests fail with 503 when no encoder was there for so long
};

// Files of traced requests (engine/leader/tracer.h).
struct TraceOptions {
  std::filesystem::path dir;  // "": none are traced
  double share = 0;           // the traced part of the requests that their clients do not sample
  int files = 1000;           // the most that are kept
  int64_t total_bytes = int64_t{256} << 20;
};

struct EngineOptions {
  std::filesystem::path model_path;  // checkpoint directory
  std::filesystem::path
      vision_tower;           // the place of the tower that the config calls by a name; "": found beside it
  std::string model_name;     // the name that clients use; "": the directory's name
  std::string model_aliases;  // more names that clients use, separated by commas
  // A turn's images stand as the model was trained, or as the client put them: model | client
  std::string image_order = "model";
  std::string dtype = "auto";  // weights: auto | bf16 | f32
  // The weights of the vision tower and what compresses its features: auto (as the checkpoint's
  // mm_vision_dtype says where the backend can, else as dtype) | bf16 | f32
  std::string vision_dtype = "auto";
  std::string quantize = "none";  // the language model's matrices: none | fp8 | int8 | int4
  // The vision tower's layers: none | int8, whose products make codes of the activations too. CPU only.
  std::string vision_quantize = "none";
  bool generation_config = true;  // the model's recommended sampling holds for requests that give none
  // Packed weights are kept here for the next start (model/weights/packed_cache.h); "": nowhere.
  std::filesystem::path cache_dir;
  BackendOptions backend;  // the backend of every rank; threads are per rank
  int max_running = 32;    // sequences in one step
  int max_waiting = 256;   // requests beyond those running; more are refused with 429
  int token_budget = 512;  // rows of one step, prefill and decode together
  // A running answer waits about so long at most between two tokens for the pictures and prompts of others,
  // as far as a step leaves time for both: a pass of the leader's tower is divided, and steps have fewer
  // rows. 0: passes are whole, and only token_budget bounds steps.
  double tpot_target_ms = 200;
  int page_size = 64;            // tokens of one KV page
  int64_t kv_memory_bytes = 0;   // bytes per LLM rank; 0: a share of the memory that is free
  double kv_memory_share = 0.9;  // the share of what all else leaves on a device, if kv_memory_bytes is 0
  int context_length = 0;        // 0: the model's, or what the KV memory holds if that is less
  int64_t visual_cache_bytes = int64_t{256} << 20;  // rows of encoded slices, per LLM rank
  int64_t visual_cache_host_bytes = 0;  // memory of the leader's host for rows beyond these; 0: none
  int64_t slice_memory_bytes = int64_t{256} << 20;  // memory of cut slices that wait, or are encoded
  int64_t request_memory_bytes = int64_t{1} << 30;  // memory of accepted requests: images not cut, and tokens
  bool prefix_cache = true;                         // keep KV pages for later requests that begin alike
  bool share_caches = false;                        // tenants share them; off: each API key has its own salt
  // On the CPU, answers do not depend on the number of LLM ranks: sums over them have fixed parts and order.
  bool deterministic = false;
  double grammar_seconds =
      5;  // seconds of one core to compile the grammar of an answer; what takes longer is refused
  int64_t grammar_cache_bytes = int64_t{64} << 20;  // memory of compiled grammars, kept for later requests
  bool overlap = true;         // plan and launch a step before the tokens of the last are known, on a device
  double ready_within_s = 30;  // /ready requires that the ranks answered a step so recently
  uint64_t seed = 0;  // requests that name none use it, mixed with the request's number; 0: drawn at start
  ImageOptions image;
  EncodeOptions encoders;
  TraceOptions trace;
};

}  // namespace uhd
