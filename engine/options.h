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
  int max_images = 16;            // in one request
  int threads = 2;                // threads of the leader that decode, resize and cut
  bool reference_compat = false;  // treats EXIF and alpha as the published code does
  int max_slices = 0;             // 0: the checkpoint's
  int prescale_longest = -1;      // -1: the checkpoint's; 0: off
};

struct EncodeOptions {
  int64_t batch_patches = 4096;  // of one forward pass of the vision tower; one piece always fits
  int retries = 2;               // of one slice, after its first try
  double wait_s = 10;            // image requests fail with 503 when no encoder was there for so long
};

struct EngineOptions {
  std::filesystem::path model_path;  // checkpoint directory
  std::filesystem::path
      vision_tower;            // where the tower lies that the config calls by a name; "": found beside it
  std::string model_name;      // that clients use; "": the directory's name
  std::string dtype = "auto";  // weights: auto | bf16 | f32
  // Of the vision tower and what compresses its features: auto (as the checkpoint's mm_vision_dtype says
  // where the backend can, else as dtype) | bf16 | f32
  std::string vision_dtype = "auto";
  std::string quantize = "none";  // the language model's matrices: none | fp8 | int8 | int4
  BackendOptions backend;         // of every rank; threads are per rank
  int max_running = 32;           // sequences in one step
  int max_waiting = 256;          // requests beyond those running; more are refused with 429
  int token_budget = 512;         // rows of one step, prefill and decode together
  int page_size = 64;             // tokens of one KV page
  int64_t kv_memory_bytes = 0;    // per LLM rank; 0: a share of the memory that is free
  double kv_memory_share = 0.9;   // of what all else leaves free on a device, when kv_memory_bytes is 0
  int context_length = 0;         // 0: the model's, or what the KV memory holds if that is less
  int64_t visual_cache_bytes = int64_t{256} << 20;  // rows of encoded slices, per LLM rank
  int64_t slice_memory_bytes = int64_t{256} << 20;  // of cut slices that wait, or are encoded
  int64_t request_memory_bytes = int64_t{1} << 30;  // of accepted requests: images not cut yet, and tokens
  bool prefix_cache = true;                         // keep KV pages for later requests that begin alike
  bool share_caches = false;                        // between tenants; off: each API key has its own salt
  bool overlap = true;         // on a device: plan and launch a step before the tokens of the last are known
  double ready_within_s = 30;  // /ready requires that the ranks answered a step so recently
  uint64_t seed = 0;  // for requests that name none, mixed with the request's number; 0: drawn at start
  ImageOptions image;
  EncodeOptions encoders;
};

}  // namespace uhd
