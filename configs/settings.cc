#include "configs/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <sstream>

#include "base/edit_distance.h"
#include "base/error.h"

namespace uhd {
namespace {

constexpr double kMany = std::numeric_limits<int32_t>::max();
constexpr double kManyBytes = 1e15;
constexpr double kDay = 86400;

// Reads the whole text as a number, or returns nothing.
template <class T>
bool parse_number(std::string_view text, T& value) {
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failed == std::errc() && end == text.data() + text.size();
}

// Takes a unit of bytes off the text: its factor, 1 without one.
int64_t take_unit(std::string_view& text) {
  for (const auto& [unit, factor] :
       {std::pair<std::string_view, int64_t>{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}}) {
    if (text.ends_with(unit)) {
      text.remove_suffix(unit.size());
      return factor;
    }
  }
  return 1;
}

std::string number_text(double v) {
  std::ostringstream out;
  out.precision(15);
  out << v;
  return out.str();
}

std::string value_text(bool v) { return v ? "true" : "false"; }
std::string value_text(int v) { return std::to_string(v); }
std::string value_text(int64_t v) { return std::to_string(v); }
std::string value_text(uint64_t v) { return std::to_string(v); }
std::string value_text(double v) { return number_text(v); }
std::string value_text(const std::string& v) { return v; }
std::string value_text(const std::filesystem::path& v) { return v.string(); }

}  // namespace

bool Setting::is_text() const {
  return std::holds_alternative<std::string*>(place) || std::holds_alternative<std::filesystem::path*>(place);
}

std::string Setting::wanted() const {
  if (std::holds_alternative<bool*>(place)) return "true or false";
  if (is_text()) {
    if (choices.empty()) return "text";
    std::string list = "one of";
    for (const std::string& choice : choices) list += (list == "one of" ? " " : ", ") + choice;
    return list;
  }
  const bool whole = !std::holds_alternative<double*>(place);
  return message(whole ? "a whole number" : "a number", " from ", number_text(min), " to ", number_text(max));
}

std::vector<std::string> Setting::values() const {
  return std::holds_alternative<bool*>(place) ? std::vector<std::string>{"true", "false"} : choices;
}

std::string Setting::text() const {
  return std::visit([](const auto* value) { return value_text(*value); }, place);
}

bool Setting::set(const std::string& value) const {
  if (bool* const* flag = std::get_if<bool*>(&place)) {
    if (value != "true" && value != "false") return false;
    **flag = value == "true";
    return true;
  }
  if (is_text()) {
    if (!choices.empty() && std::find(choices.begin(), choices.end(), value) == choices.end()) return false;
    if (std::string* const* text = std::get_if<std::string*>(&place)) **text = value;
    if (std::filesystem::path* const* path = std::get_if<std::filesystem::path*>(&place)) **path = value;
    return true;
  }
  std::string_view digits = value;
  const int64_t unit = name.ends_with("_bytes") ? take_unit(digits) : 1;
  return std::visit(
      [&](auto* to) {
        using T = std::remove_pointer_t<decltype(to)>;
        if constexpr (std::is_same_v<T, double>) {
          double v = 0;
          if (!parse_number(digits, v) || !std::isfinite(v) || v < min || v > max) return false;
          *to = v;
          return true;
        } else if constexpr (std::is_same_v<T, uint64_t>) {
          return parse_number(digits, *to);
        } else if constexpr (std::is_same_v<T, int> || std::is_same_v<T, int64_t>) {
          int64_t v = 0;
          if (!parse_number(digits, v)) return false;
          if (static_cast<double>(v) * static_cast<double>(unit) < min ||
              static_cast<double>(v) * static_cast<double>(unit) > max) {
            return false;
          }
          *to = static_cast<T>(v * unit);
          return true;
        } else {
          return false;
        }
      },
      place);
}

std::string section_of(const std::string& name) { return name.substr(0, name.find('.')); }

const Setting* find_setting(const std::string& name, const std::vector<Setting>& settings) {
  const auto at =
      std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.name == name; });
  return at == settings.end() ? nullptr : &*at;
}

std::vector<Setting> settings_of(ServerConfig& c) {
  EngineOptions& e = c.engine;
  ImageOptions& i = e.image;
  return {
      {"model.path", &e.model_path, "checkpoint directory"},
      {"model.vision_tower", &e.vision_tower,
       "directory of the vision tower; empty: inside or beside the model"},
      {"model.name", &e.model_name, "name that clients use; empty: the directory's"},
      {"model.aliases", &e.model_aliases, "more names that clients use, separated by commas"},
      {"model.image_order",
       &e.image_order,
       "where a turn's images stand: as the model was trained, or where the client put them",
       0,
       0,
       {"model", "client"}},
      {"model.dtype", &e.dtype, "type of the weights", 0, 0, {"auto", "bf16", "f32"}},
      {"model.vision_dtype",
       &e.vision_dtype,
       "type of the vision tower; auto: as its checkpoint says, else as model.dtype",
       0,
       0,
       {"auto", "bf16", "f32"}},
      {"model.quantize",
       &e.quantize,
       "format of the language model's matrices, made as they are loaded",
       0,
       0,
       {"none", "fp8", "int8", "int4"}},
      {"model.cache_dir", &e.cache_dir,
       "directory that keeps packed weights for the next start, on the CPU; \"\": none"},
      {"model.quantize_activations", &e.backend.quantize_activations,
       "with int8, on CUDA also fp8: make codes of activations too, which is faster and less exact; on CUDA "
       "of "
       "prompts alone"},
      {"model.vision_quantize",
       &e.vision_quantize,
       "on the CPU: format of the vision tower's layers, whose products make codes of activations too",
       0,
       0,
       {"none", "int8"}},
      {"model.generation_config", &e.generation_config,
       "take temperature, top_p, top_k, min_p and repetition_penalty from the model's generation_config.json "
       "where a request does not give them"},

      {"net.host", &c.net.host, "address to listen on"},
      {"net.port", &c.net.port, "port to listen on; 0: any free one", 0, 65535},
      {"net.threads", &c.net.threads, "I/O threads", 1, 64},
      {"net.intake_threads", &c.net.intake_threads,
       "threads that read small requests, and as many again for large ones", 1, 64},
      {"net.tls_certificate", &c.net.tls_certificate,
       "PEM file with the server's certificate and those above it; empty: plain HTTP"},
      {"net.tls_key", &c.net.tls_key, "PEM file with the private key of net.tls_certificate"},
      {"net.unix_socket", &c.net.unix_socket, "path of a Unix socket to listen on too; empty: none"},
      {"net.unix_mode", &c.net.unix_mode, "who may use the Unix socket: its mode, in octal digits"},
      {"net.api_keys_file", &c.net.api_keys_file, "file with one API key a line; empty: clients need none"},
      {"net.open_metrics", &c.net.open_metrics, "/metrics asks for no key, where other routes do"},
      {"net.cors_origin", &c.net.cors_origin,
       "origins of web pages that may use the server, separated by commas; *: any"},
      {"net.allowed_hosts", &c.net.allowed_hosts,
       "more names that the Host header may hold, separated by commas; *: any"},
      {"net.page", &c.net.page, "serve the page for people at /"},
      {"net.image_directory", &c.net.image_directory,
       "images of file:// URLs lie below this absolute path, for every client; empty: such URLs are refused"},
      {"net.image_hosts", &c.net.image_hosts,
       "hosts that images of http and https URLs are fetched from, separated by commas, each with :PORT "
       "unless it is the "
       "scheme's own; empty: such URLs are refused"},
      {"net.image_private_addresses", &c.net.image_private_addresses,
       "the hosts of net.image_hosts may have addresses of private networks and of this machine"},
      {"net.image_timeout_s", &c.net.image_timeout_s, "limit for fetching the images of one call", 0.1, 300},
      {"net.unknown_fields",
       &c.net.unknown_fields,
       "a field that no list knows: refuse the request, or warn in a header of the answer",
       0,
       0,
       {"refuse", "warn"}},
      {"net.max_header_bytes", &c.net.max_header_bytes, "limit of a request's header", 256, 1 << 20},
      {"net.max_body_bytes", &c.net.max_body_bytes, "limit of a request's body", 1, 1 << 30},
      {"net.max_client_body_bytes", &c.net.max_client_body_bytes,
       "limit of the bodies of all requests of one client", 1, kManyBytes},
      {"net.max_total_body_bytes", &c.net.max_total_body_bytes, "limit of the bodies of all requests", 1,
       kManyBytes},
      {"net.max_backlog_bytes", &c.net.max_backlog_bytes, "limit of a stream that its client does not read",
       1 << 16, kManyBytes},
      {"net.max_connections", &c.net.max_connections, "connections open at once", 1, 1000000},
      {"net.max_requests_per_client", &c.net.max_requests_per_client,
       "requests running at once, by key or address", 1, kMany},
      {"net.max_choices", &c.net.max_choices, "answers of one call (prompts times n)", 1, 128},
      {"net.max_messages", &c.net.max_messages, "messages of one call", 1, 100000},
      {"net.max_parts", &c.net.max_parts, "parts of all messages of one call", 1, 1000000},
      {"net.max_json_values", &c.net.max_json_values, "JSON values of one body", 100, 100000000},
      {"net.max_tokenize_bytes", &c.net.max_tokenize_bytes, "limit of a text for /tokenize", 1, 1 << 30},
      {"net.max_detokenize_ids", &c.net.max_detokenize_ids, "limit of ids for /detokenize", 1, 100000000},
      {"net.idle_timeout_s", &c.net.idle_timeout_s, "limit between two requests of a connection", 0.01, kDay},
      {"net.header_timeout_s", &c.net.header_timeout_s, "limit for receiving a header", 0.01, kDay},
      {"net.body_timeout_s", &c.net.body_timeout_s, "limit for receiving a body", 0.01, kDay},
      {"net.body_pause_s", &c.net.body_pause_s, "limit between two pieces of a body", 0.01, kDay},
      {"net.stream_ping_s", &c.net.stream_ping_s, "a silent stream sends a comment so often; 0: never", 0,
       kDay},
      {"net.write_timeout_s", &c.net.write_timeout_s, "limit for one write to a client", 0.01, kDay},
      {"net.request_timeout_s", &c.net.request_timeout_s, "limit for one request; 0: none", 0, kDay},
      {"net.drain_timeout_s", &c.net.drain_timeout_s, "limit for running requests after SIGTERM", 0, kDay},

      {"llm.tensor_parallel", &c.cluster.tensor_parallel, "LLM ranks", 1, 64},
      {"encoders.count", &c.cluster.encoder_count, "encoder ranks; 0: the LLM ranks encode", 0, 1024},
      {"encoders.batch_patches", &e.encoders.batch_patches,
       "patches of one forward pass; 0: 1024 on the host, 4096 on a device", 0, 1 << 20},
      {"encoders.retries", &e.encoders.retries, "of one slice after its first try", 0, 100},
      {"encoders.wait_s", &e.encoders.wait_s, "image requests fail after so long without an encoder", 0,
       kDay},

      {"cluster.role",
       &c.cluster.role,
       "role of this process; auto: by its rank",
       0,
       0,
       {"auto", "llm", "encoder"}},
      {"cluster.leader", &c.cluster.leader, "host:port of the leader, for encoders of a job of their own"},
      {"cluster.control_host", &c.cluster.control_host, "address on which the leader listens for encoders"},
      {"cluster.control_port", &c.cluster.control_port,
       "port on which the leader listens for encoders; 0: any free one", 0, 65535},
      {"cluster.secret_file", &c.cluster.secret_file, "file with the secret that leader and encoders share"},
      {"cluster.link",
       &c.cluster.link,
       "the way of visual tokens from encoder to leader",
       0,
       0,
       {"auto", "mpi", "tcp"}},
      {"cluster.ipc_all_reduce",
       &c.cluster.ipc_all_reduce,
       "sum small tensors on CUDA devices of one host through each other's memory; auto: where it is faster",
       0,
       0,
       {"off", "on", "auto"}},
      {"cluster.heartbeat_s", &c.cluster.heartbeat_s, "between heartbeats", 0.01, 3600},
      {"cluster.lost_after_s", &c.cluster.lost_after_s, "a silent peer is lost", 0.02, 3600},
      {"cluster.job_deadline_s", &c.cluster.job_deadline_s,
       "an encoder that takes longer over a slice is stuck", 0.1, kDay},
      {"cluster.step_deadline_s", &c.cluster.step_deadline_s,
       "LLM ranks that take longer over a step are stuck", 0.1, kDay},

      {"engine.max_running", &e.max_running, "sequences in one step", 1, 65536},
      {"engine.max_waiting", &e.max_waiting, "requests waiting beyond those running; more get 429", 0, kMany},
      {"engine.token_budget", &e.token_budget, "rows of one step", 1, 1 << 20},
      {"engine.tpot_target_ms", &e.tpot_target_ms,
       "an answer waits about so long between two tokens for others; 0: no bound", 0, 1e6},
      {"engine.page_size", &e.page_size, "tokens of one KV page", 1, 4096},
      {"engine.kv_memory_bytes", &e.kv_memory_bytes,
       "memory of the KV pages per LLM rank; 0: a share of the free memory", 0, kManyBytes},
      {"engine.kv_memory_share", &e.kv_memory_share,
       "share of the memory that everything else leaves on a device, for KV pages", 0.01, 0.95},
      {"engine.context_length", &e.context_length,
       "tokens of the longest sequence; 0: the model's, or less if the KV memory holds less", 0, kMany},
      {"engine.visual_cache_bytes", &e.visual_cache_bytes, "memory of encoded slices, per LLM rank", 0,
       kManyBytes},
      {"engine.visual_cache_host_bytes", &e.visual_cache_host_bytes,
       "host memory of the leader for encoded slices beyond engine.visual_cache_bytes; 0: none", 0,
       kManyBytes},
      {"engine.slice_memory_bytes", &e.slice_memory_bytes,
       "memory of cut slices on their way to encoders; further images wait uncut", 1, kManyBytes},
      {"engine.request_memory_bytes", &e.request_memory_bytes,
       "images and tokens of accepted requests; more get 429", 1, kManyBytes},
      {"engine.prefix_cache", &e.prefix_cache, "keep KV pages for later requests that begin alike"},
      {"engine.share_caches", &e.share_caches, "between API keys"},
      {"engine.deterministic", &e.deterministic,
       "on the CPU: answers do not depend on the number of LLM ranks"},
      {"engine.grammar_seconds", &e.grammar_seconds,
       "seconds of one core to compile the grammar of an answer; what takes longer is refused", 0.1, 600},
      {"engine.grammar_cache_bytes", &e.grammar_cache_bytes,
       "memory of compiled grammars kept for later requests", 0, kManyBytes},
      {"engine.overlap", &e.overlap, "on a device: launch a step before the last one's tokens are known"},
      {"engine.ready_within_s", &e.ready_within_s, "/ready requires that a step ended so recently", 0.1,
       kDay},
      {"engine.seed", &e.seed, "seed of requests that name none; 0: drawn at start", 0,
       18446744073709551615.0},

      {"backend.kind", &e.backend.kind, "device of the ranks", 0, 0, {"cpu", "cuda", "auto"}},
      {"backend.threads", &e.backend.threads, "per rank; 0: every core this process may use", 0, 1024},
      {"backend.device", &e.backend.device, "CUDA device of this process; -1: one for each rank of a host",
       -1, 1023},
      {"backend.isa",
       &e.backend.isa,
       "CPU instructions; auto: what multiplies fastest on this processor",
       0,
       0,
       {"auto", "amx", "avx512_bf16", "avx512", "avx2", "neon_bf16", "neon", "scalar"}},
      {"backend.attention",
       &e.backend.attention,
       "form of attention on CUDA: tensor cores where they fit, none, or FlashInfer's where built",
       0,
       0,
       {"auto", "plain", "flashinfer"}},
      {"backend.graphs", &e.backend.graphs, "on CUDA: record decode steps once for each batch size"},

      {"image.max_bytes", &i.limits.max_bytes, "limit of one encoded image", 1, 1 << 30},
      {"image.max_pixels", &i.limits.max_pixels, "limit of one image's pixels", 1, 1e10},
      {"image.max_side", &i.limits.max_side, "limit of a side, in pixels", 1, 1 << 20},
      {"image.max_aspect", &i.limits.max_aspect, "limit of the longer side over the shorter", 1, 1e6},
      {"image.max_piece_patches", &i.limits.max_piece_patches,
       "limit of the patches of one slice or overview", 1, 1 << 20},
      {"image.max_images", &i.max_images, "images of one request", 0, 1024},
      {"image.threads", &i.threads, "threads that decode and cut images", 1, 256},
      {"image.reference_compat", &i.reference_compat, "treat EXIF and alpha as the published code does"},
      {"image.max_slices", &i.max_slices, "slices of one image; 0: the checkpoint's number", 0, 64},
      {"image.prescale_longest", &i.prescale_longest,
       "scale the longest side to so many pixels first; -1: as the checkpoint says; 0: off", -1, 65536},

      {"trace.dir", &e.trace.dir, "directory for the traces of requests, one file each; \"\": none"},
      {"trace.share", &e.trace.share,
       "share of requests that are traced, besides those that their clients sample by traceparent", 0, 1},
      {"trace.files", &e.trace.files, "traces that are kept; the oldest are removed", 1, 1000000},
      {"trace.total_bytes", &e.trace.total_bytes, "bytes of all traces that are kept", 1 << 20, kManyBytes},

      {"log.level",
       &c.log.level,
       "the least level that is logged",
       0,
       0,
       {"debug", "info", "warning", "error"}},
      {"log.format", &c.log.format, "lines of text, or JSON objects", 0, 0, {"text", "json"}},
  };
}

std::string nearest_name(std::string_view name, const std::vector<Setting>& settings) {
  name = name.substr(0, 100);  // a longer one is like none
  const auto nearest =
      std::min_element(settings.begin(), settings.end(), [&](const Setting& a, const Setting& b) {
        return edit_distance(name, a.name) < edit_distance(name, b.name);
      });
  return nearest->name;
}

}  // namespace uhd
