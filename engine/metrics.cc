#include "engine/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace uhd {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries kSeconds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                              0.5,   1,      2.5,   5,    10,    25,   50,  100};
const Histogram::BucketBoundaries kCounts = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192};

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

  prometheus::Labels labels;
  mutable prometheus::Registry registry;

  prometheus::Family<Counter>& counters(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Labels(labels).Register(registry);
  }
  Counter& counter(const std::string& name, const std::string& help) { return counters(name, help).Add({}); }
  Gauge& gauge(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Labels(labels).Register(registry).Add({});
  }
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
  Histogram& total = histogram("uhd_request_seconds", "Time from submission to last event", kSeconds);
  Counter& prompt_tokens = counter("uhd_prompt_tokens_total", "Tokens of finished prompts");
  Counter& image_tokens = counter("uhd_image_tokens_total", "Of them, visual tokens and separators");
  Counter& cached_tokens =
      counter("uhd_prefix_cached_tokens_total", "Prompt tokens whose keys and values were kept from before");
  Counter& prefill_tokens = counter("uhd_prefill_tokens_total", "Prompt tokens computed");
  Counter& decode_tokens = counter("uhd_decode_tokens_total", "Tokens computed one at a time");
  Counter& completion_tokens = counter("uhd_completion_tokens_total", "Tokens of finished answers");
  Counter& steps = counter("uhd_steps_total", "Steps of the language model");
  Histogram& step_seconds = histogram("uhd_step_seconds", "Duration of one step", kSeconds);
  Histogram& batch = histogram("uhd_batch_sequences", "Sequences in one step", kCounts);
  Histogram& batch_tokens = histogram("uhd_batch_tokens", "Tokens in one step", kCounts);
  Counter& preempted = counter("uhd_preemptions_total", "Sequences that gave their pages back");
  Counter& slices_encoded = counter("uhd_slices_encoded_total", "Slices sent to encoders");
  Counter& slices_cached = counter("uhd_slices_cached_total", "Slices answered without encoding");
  Histogram& slice_seconds =
      histogram("uhd_slice_seconds", "Time from sending a slice to receiving its rows", kSeconds);
  Counter& slices_failed = counter("uhd_slices_failed_total", "Slices that no encoder could encode");
  Counter& slices_retried = counter("uhd_slices_retried_total", "Slices tried on another encoder");
  Counter& encoders_lost = counter("uhd_encoders_lost_total", "Encoders that were lost or left");

  Gauge& running = gauge("uhd_running_sequences", "Sequences admitted");
  Gauge& waiting = gauge("uhd_waiting_requests", "Requests not yet admitted");
  Gauge& free_pages = gauge("uhd_kv_pages_free", "Free KV pages");
  Gauge& total_pages = gauge("uhd_kv_pages", "KV pages");
  Gauge& cached_pages = gauge("uhd_kv_pages_cached", "KV pages whose content is kept for later requests");
  Gauge& encoders = gauge("uhd_encoders", "Encoders at work");
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
  if (!usage.images.empty()) {
    s.preprocess.Observe(usage.times.preprocess);
    s.encode.Observe(usage.times.encode);
  }
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

void Metrics::prefix_cached(int tokens) { series_->cached_tokens.Increment(tokens); }

void Metrics::slices(int encoded_anew, int cached) {
  series_->slices_encoded.Increment(encoded_anew);
  series_->slices_cached.Increment(cached);
}

void Metrics::slice_encoded(double seconds) { series_->slice_seconds.Observe(seconds); }
void Metrics::slice_failed() { series_->slices_failed.Increment(); }
void Metrics::slices_retried(double count) { series_->slices_retried.Increment(count); }
void Metrics::encoder_lost() { series_->encoders_lost.Increment(); }

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
