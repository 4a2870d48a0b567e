// What an engine is told at start. Plain data with defaults that work; configs/ fills it. Facts of the model
// come from the checkpoint, never from here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "kernels/backend.h"
#include "model/vision/image.h"

namespace uhd {

struct ImageOptions {
  ImageLimits limits;
  int max_images = 16;            // of one request
  int threads = 2;                // that decode, resize and cut, on the leader
  bool reference_compat = false;  // EXIF and alpha as the published code treats them
  int max_slices = 0;             // 0: the checkpoint's
  int prescale_longest = -1;      // -1: the checkpoint's; 0: off
};

struct EncoderOptions {
  int count = 0;                   // encoder ranks; 0: LLM ranks encode between steps
  int64_t batch_patches = 4096;    // of one forward pass of the vision tower, at most (one piece always fits)
  double job_deadline_s = 60;      // of one slice on one encoder; then it is tried elsewhere
  int retries = 2;                 // of one slice, after its first try
  double no_encoder_wait_s = 10;   // image requests fail with 503 when no encoder was there for so long
  double heartbeat_s = 1;          // between messages of an idle connection
  double lost_after_s = 5;         // silence that counts as loss
  std::string host = "127.0.0.1";  // where the leader listens for encoders
  int port = 0;                    // 0: any free one (ranks of one job are told)
  std::filesystem::path secret_file;  // asked of encoders that join from outside; required unless loopback
};

struct EngineOptions {
  std::filesystem::path model;  // checkpoint directory
  std::string model_name;       // that clients use; "": the directory's name
  std::string dtype = "auto";   // weights: auto | bf16 | f32
  BackendOptions backend;       // of every rank; threads are per rank
  int tensor_parallel = 1;      // LLM ranks
  int max_running = 32;         // sequences in one step
  int max_waiting = 256;        // requests beyond those running; more are refused with 429
  int token_budget = 512;       // rows of one step, prefill and decode together
  int page_size = 64;           // tokens of one KV page
  int64_t kv_memory_bytes = 0;  // per LLM rank; 0: a share of the memory that is free
  int context_length = 0;       // 0: the model's, if the KV memory holds it
  int64_t visual_cache_bytes = int64_t{256} << 20;  // rows of encoded slices, per LLM rank
  bool share_caches = false;     // between tenants; off: each API key has a salt of its own
  double step_deadline_s = 120;  // a step that takes longer means a lost rank
  double ready_within_s = 30;    // /ready asks that the ranks answered a step so recently
  uint64_t seed = 0;             // of requests that name none; 0: drawn at start
  ImageOptions image;
  EncoderOptions encoders;
};

}  // namespace uhd
