#include "engine/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <mutex>
#include <set>

namespace uhd {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    25,   50,  100};
const Histogram::BucketBoundaries kCounts = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};

const Histogram::BucketBoundaries kTokens = {1,    4,    16,   64,   128,   256,   512,
                                             1024, 2048, 4096, 8192, 16384, 32768, 131072};
const Histogram::BucketBoundaries kImages = {0, 1, 2, 4, 8, 16, 32};

constexpr size_t kMostKeys = 64;  // with labels of their own

}  // namespace

std::string name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::length:
      return "length";
    case FinishReason::cancelled:
      return "cancelled";
    case FinishReason::error:
      return "error";
    case FinishReason::none:
      break;
  }
  return "none";
}

struct Metrics::Series {
  explicit Series(const std::string& model) : labels{{"model", model}} {}

  // The label of a key: the digits that the log shows, of the first kMostKeys that were seen.
  std::string label_of(const std::string& key) {
    std::string digits = key.substr(0, 8);
    const std::lock_guard lock(mutex);
    if (keys.contains(digits)) return digits;
    return keys.size() < kMostKeys ? *keys.insert(digits).first : "other";
  }
  std::mutex mutex;
  std::set<std::string> keys;

  prometheus::Labels labels;
  mutable prometheus::Registry registry;

  prometheus::Family<Counter>& counters(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Labels(labels).Register(registry);
  }
  Counter& counter(const std::string& name, const std::string& help) { return counters(name, help).Add({}); }
  prometheus::Family<Gauge>& gauges(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Labels(labels).Register(registry);
  }
  Gauge& gauge(const std::string& name, const std::string& help) { return gauges(name, help).Add({}); }
  Histogram& histogram(const std::string& name, const std::string& help,
                       const Histogram::BucketBoundaries& buckets) {
    return prometheus::BuildHistogram().Name(name).Help(help).Labels(labels).Register(registry).Add({},
                                                                                                    buckets);
  }

  Counter& accepted = counter("uhd_requests_accepted_total", "Requests accepted");
  prometheus::Family<Counter>& refused =
      counters("uhd_requests_refused_total", "Requests refused before any work, by reason");
  prometheus::Family<Counter>& finished =
      counters("uhd_requests_finished_total", "Requests ended, by finish reason");
  prometheus::Family<Counter>& failed =
      counters("uhd_requests_failed_total", "Requests ended by an error, by code");
  Histogram& ttft = histogram("uhd_ttft_seconds", "Time from submission to first token", kSeconds);
  Histogram& tpot = histogram("uhd_tpot_seconds", "Time between two tokens of a request", kSeconds);
  Histogram& queue = histogram("uhd_queue_seconds", "Time from submission to the first step", kSeconds);
  Histogram& preprocess =
      histogram("uhd_preprocess_seconds", "Time of decoding and cutting a request's images", kSeconds);
  Histogram& encode =
      histogram("uhd_encode_seconds", "Time from the first slice sent to the last one back", kSeconds);
  Histogram& prefill =
      histogram("uhd_prefill_seconds", "Time from the first step to the first token", kSeconds);
  Histogram& decode = histogram("uhd_decode_seconds", "Time from the first token to the last", kSeconds);
  Histogram& request_prompt = histogram("uhd_request_prompt_tokens", "Tokens of a request's prompt", kTokens);
  Histogram& request_completion =
      histogram("uhd_request_completion_tokens", "Tokens of a request's answers", kTokens);
  Histogram& request_images = histogram("uhd_request_images", "Images of a request", kImages);
  Histogram& request_slices =
      histogram("uhd_request_slices", "Slices and overviews of a request with images", kCounts);
  Histogram& total = histogram("uhd_request_seconds", "Time from submission to last event", kSeconds);
  Counter& prompt_tokens = counter("uhd_prompt_tokens_total", "Tokens of finished prompts");
  Counter& image_tokens = counter("uhd_image_tokens_total", "Of them, visual tokens and separators");
  Counter& cached_tokens =
      counter("uhd_prefix_cached_tokens_total", "Prompt tokens whose keys and values were kept from before");
  Counter& missed_tokens =
      counter("uhd_prefix_missed_tokens_total", "Prompt tokens of answered requests that had to be computed");
  Counter& evicted_tokens =
      counter("uhd_prefix_evicted_tokens_total", "Kept tokens whose pages were needed for something else");
  Counter& prefill_tokens = counter("uhd_prefill_tokens_total", "Prompt tokens computed");
  Counter& decode_tokens = counter("uhd_decode_tokens_total", "Tokens computed one at a time");
  Counter& completion_tokens = counter("uhd_completion_tokens_total", "Tokens of finished answers");
  Counter& steps = counter("uhd_steps_total", "Steps of the language model");
  Histogram& step_seconds = histogram("uhd_step_seconds", "Duration of one step", kSeconds);
  Histogram& batch = histogram("uhd_batch_sequences", "Sequences in one step", kCounts);
  Histogram& batch_tokens = histogram("uhd_batch_tokens", "Tokens in one step", kCounts);
  Counter& preempted = counter("uhd_preemptions_total", "Sequences that gave their pages back");
  Counter& slices_encoded =
      counter("uhd_slices_encoded_total",
              "Slices that no LLM rank had: sent to encoders, or taken back from host memory");
  Counter& slices_cached = counter("uhd_slices_cached_total", "Slices answered without encoding");
  Counter& slices_left_out =
      counter("uhd_slices_left_out_total",
              "Of them, slices whose keys and values were kept and whose rows nobody had");
  Counter& slices_evicted =
      counter("uhd_slices_evicted_total", "Slices whose rows gave way to others in the visual store");
  Counter& rows_cached = counter("uhd_slice_rows_cached_total", "Visual rows answered without encoding");
  Counter& rows_encoded = counter("uhd_slice_rows_encoded_total", "Visual rows that no LLM rank had");
  Counter& rows_evicted =
      counter("uhd_slice_rows_evicted_total", "Visual rows that gave way to others in the visual store");
  Counter& kept_evicted =
      counter("uhd_slices_kept_evicted_total", "Slices that gave way to others in host memory");
  Counter& cut_again = counter("uhd_images_cut_again_total",
                               "Images cut again, because keys and values of slices left out were lost");
  Histogram& picture_gap = histogram(
      "uhd_picture_gap_seconds", "Time that sequences which decode waited for encoding, by turns", kSeconds);
  prometheus::Family<Counter>& key_cost =
      counters("uhd_key_cost_seconds_total", "Measured work by API key, by the first digits of its digest");
  prometheus::Family<Gauge>& key_debt =
      gauges("uhd_key_debt_rows", "Rows by which an API key is beyond its share of the steps");
  Histogram& slice_seconds =
      histogram("uhd_slice_seconds", "Time from sending a slice to receiving its rows", kSeconds);
  Histogram& transfer_seconds =
      histogram("uhd_transfer_seconds",
                "Time from when an encoder had a slice's rows until they were here (CPU only)", kSeconds);
  Counter& collective_seconds = counter(
      "uhd_collective_seconds_total", "Time of the leader in sums and exchanges of the LLM ranks (CPU only)");
  prometheus::Family<Gauge>& encoder_slices =
      gauges("uhd_encoder_slices", "Slices that an encoder has now, by its number");
  prometheus::Family<Gauge>& encoder_speed =
      gauges("uhd_encoder_patches_per_second",
             "Patches that an encoder encodes in a second of late, transfers included");
  prometheus::Family<Gauge>& encoder_healthy =
      gauges("uhd_encoder_healthy", "1 if an encoder does not rest after a failure");
  prometheus::Family<Counter>& encoder_encoded =
      counters("uhd_encoder_slices_encoded_total", "Slices that an encoder encoded");
  prometheus::Family<Counter>& encoder_failed =
      counters("uhd_encoder_slices_failed_total", "Slices that an encoder failed, or did not encode in time");
  // Used by the engine's thread.
  struct OfEncoder {
    Gauge* slices = nullptr;
    Gauge* speed = nullptr;
    Gauge* healthy = nullptr;
    Counter* encoded = nullptr;
    Counter* failed = nullptr;
  };
  std::map<uint32_t, OfEncoder> of_encoders;

  Counter& slices_kept =
      counter("uhd_slices_kept_total", "Slices taken back from host memory (engine.visual_cache_host_bytes)");
  Counter& slices_failed = counter("uhd_slices_failed_total", "Slices that no encoder could encode");
  Counter& slices_retried = counter("uhd_slices_retried_total", "Slices tried on another encoder");
  Counter& encoders_lost = counter("uhd_encoders_lost_total", "Encoders that were lost or left");

  Gauge& running = gauge("uhd_running_sequences", "Sequences admitted");
  Gauge& waiting = gauge("uhd_waiting_requests", "Requests not yet admitted");
  Gauge& free_pages = gauge("uhd_kv_pages_free", "Free KV pages");
  Gauge& total_pages = gauge("uhd_kv_pages", "KV pages");
  Gauge& cached_pages = gauge("uhd_kv_pages_cached", "KV pages whose content is kept for later requests");
  Gauge& encoders = gauge("uhd_encoders", "Encoders at work");
  Gauge& llm_ranks = gauge("uhd_llm_ranks", "LLM ranks that share the language model");
  Gauge& slices_queued = gauge("uhd_slices_queued", "Slices not yet sent to an encoder");
  Gauge& queued_seconds =
      gauge("uhd_queued_cost_seconds", "Predicted cost of all accepted requests that have not ended");
  Gauge& deepest_debt =
      gauge("uhd_client_debt_rows", "Rows by which the client that was given most is beyond its share");
  Gauge& ready = gauge("uhd_ready", "1 if the ranks answered a step recently");
};

Metrics::Metrics(const std::string& model) : series_(std::make_unique<Series>(model)) {}
Metrics::~Metrics() = default;

void Metrics::accepted() { series_->accepted.Increment(); }

void Metrics::refused(const std::string& code) { series_->refused.Add({{"code", code}}).Increment(); }

void Metrics::finished(FinishReason reason, const Usage& usage, const std::string& failure_code) {
  Series& s = *series_;
  s.finished.Add({{"reason", name_of(reason)}}).Increment();
  if (!failure_code.empty()) s.failed.Add({{"code", failure_code}}).Increment();
  s.prompt_tokens.Increment(usage.prompt_tokens);
  s.image_tokens.Increment(usage.image_tokens);
  s.completion_tokens.Increment(usage.completion_tokens);
  if (usage.times.ttft > 0) {
    s.ttft.Observe(usage.times.ttft);
    s.queue.Observe(usage.times.queue);
  }
  // A stage that did not happen says nothing about how long it takes.
  const auto observe = [](Histogram& histogram, double seconds) {
    if (seconds > 0) histogram.Observe(seconds);
  };
  observe(s.preprocess, usage.times.preprocess);
  observe(s.encode, usage.times.encode);
  observe(s.prefill, usage.times.prefill);
  observe(s.decode, usage.times.decode);
  s.request_prompt.Observe(usage.prompt_tokens);
  if (usage.completion_tokens > 0) s.request_completion.Observe(usage.completion_tokens);
  s.request_images.Observe(static_cast<double>(usage.images.size()));
  int slices = 0;
  for (const ImageReport& image : usage.images) slices += image.slices + 1;
  if (slices > 0) s.request_slices.Observe(slices);
  s.total.Observe(usage.times.total);
}

void Metrics::token_gap(double seconds) { series_->tpot.Observe(seconds); }

void Metrics::step(int prefill_tokens, int decode_tokens, int sequences, double seconds) {
  Series& s = *series_;
  s.steps.Increment();
  s.prefill_tokens.Increment(prefill_tokens);
  s.decode_tokens.Increment(decode_tokens);
  s.step_seconds.Observe(seconds);
  s.batch.Observe(sequences);
  s.batch_tokens.Observe(prefill_tokens + decode_tokens);
}

void Metrics::preempted(int sequences) { series_->preempted.Increment(sequences); }

void Metrics::prefix(int cached, int computed) {
  series_->cached_tokens.Increment(cached);
  series_->missed_tokens.Increment(computed);
}
void Metrics::prefix_evicted(int64_t tokens) {
  series_->evicted_tokens.Increment(static_cast<double>(tokens));
}

void Metrics::slice_wanted(bool cached, int rows) {
  (cached ? series_->slices_cached : series_->slices_encoded).Increment();
  (cached ? series_->rows_cached : series_->rows_encoded).Increment(rows);
}
void Metrics::slice_left_out(int rows) {
  series_->slices_left_out.Increment();
  slice_wanted(true, rows);
}
void Metrics::slice_evicted(int rows) {
  series_->slices_evicted.Increment();
  series_->rows_evicted.Increment(rows);
}
void Metrics::kept_slice_evicted() { series_->kept_evicted.Increment(); }
void Metrics::image_cut_again() { series_->cut_again.Increment(); }
void Metrics::picture_gap(double seconds) { series_->picture_gap.Observe(seconds); }

void Metrics::key_cost(const std::string& key, double seconds) {
  series_->key_cost.Add({{"key", series_->label_of(key)}}).Increment(seconds);
}
void Metrics::key_debt(const std::string& key, double rows) {
  series_->key_debt.Add({{"key", series_->label_of(key)}}).Set(rows);
}

void Metrics::slice_encoded(double seconds) { series_->slice_seconds.Observe(seconds); }
void Metrics::slice_transferred(double seconds) { series_->transfer_seconds.Observe(seconds); }
void Metrics::collectives(double seconds) { series_->collective_seconds.Increment(seconds); }

void Metrics::encoder(const EncoderState& state) {
  Series& s = *series_;
  Series::OfEncoder& own = s.of_encoders[state.encoder];
  if (own.slices == nullptr) {
    const prometheus::Labels label{{"encoder", std::to_string(state.encoder)}};
    own = {&s.encoder_slices.Add(label), &s.encoder_speed.Add(label), &s.encoder_healthy.Add(label),
           &s.encoder_encoded.Add(label), &s.encoder_failed.Add(label)};
  }
  own.slices->Set(state.slices);
  own.speed->Set(state.patches_per_second);
  own.healthy->Set(state.healthy ? 1 : 0);
  own.encoded->Increment(static_cast<double>(state.encoded) - own.encoded->Value());
  own.failed->Increment(static_cast<double>(state.failed) - own.failed->Value());
}

void Metrics::encoder_gone(uint32_t encoder) {
  Series& s = *series_;
  const auto found = s.of_encoders.find(encoder);
  if (found == s.of_encoders.end()) return;
  s.encoder_slices.Remove(found->second.slices);
  s.encoder_speed.Remove(found->second.speed);
  s.encoder_healthy.Remove(found->second.healthy);
  s.encoder_encoded.Remove(found->second.encoded);
  s.encoder_failed.Remove(found->second.failed);
  s.of_encoders.erase(found);
}

void Metrics::slice_failed() { series_->slices_failed.Increment(); }
void Metrics::slice_kept() { series_->slices_kept.Increment(); }
void Metrics::slices_retried(double count) { series_->slices_retried.Increment(count); }
void Metrics::encoder_lost() { series_->encoders_lost.Increment(); }
void Metrics::llm_ranks(int count) { series_->llm_ranks.Set(count); }

std::string Metrics::text(const Gauges& gauges) const {
  const Series& s = *series_;
  s.running.Set(gauges.running);
  s.waiting.Set(gauges.waiting);
  s.free_pages.Set(gauges.free_pages);
  s.total_pages.Set(gauges.total_pages);
  s.cached_pages.Set(gauges.cached_pages);
  s.encoders.Set(gauges.encoders);
  s.slices_queued.Set(gauges.slices_queued);
  s.queued_seconds.Set(gauges.queued_seconds);
  s.deepest_debt.Set(gauges.deepest_debt);
  s.ready.Set(gauges.ready ? 1 : 0);
  return prometheus::TextSerializer().Serialize(s.registry.Collect());
}

}  // namespace uhd
