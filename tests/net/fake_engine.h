// A FakeEngine has no model: it answers every request with fixed words from its own thread, so that the HTTP
// side is tested alone. The text of the last message (or the prompt) chooses what happens:
//
//   "wait..."  one word, then nothing until the request is cancelled
//   "later"    nothing until the request is cancelled
//   "endless"  words until the request is cancelled
//   "fail"     an error event before any text
//   "late"     one word, then an error event
//   "busy"     refused with 429
//   "many"     a thousand words
//   else       the words "Hello", " wörld", "!"
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"

namespace uhd {

class FakeEngine final : public Engine {
 public:
  ~FakeEngine() override {
    for (const auto& [id, state] : states_) cancel(id);
    for (std::thread& t : threads_) t.join();
  }

  const ModelInfo& model() const override { return info; }

  std::variant<Accepted, Failure> submit(Request&& request, TokenSink sink) override {
    const std::string text =
        request.messages.empty() ? request.prompt.value_or("ids") : request.messages.back().parts.back().text;
    if (text == "busy") return Failure{FailureKind::busy, "queue_full", "The queue is full.", 2.5};
    if (before_submit) before_submit(text);
    if (text == "turn" && turns > 0) {
      --turns;
      return Failure{FailureKind::unavailable, "grammar_busy", "Others come first.", 1, {}, 0.01};
    }
    std::lock_guard lock(mutex_);
    const RequestId id = next_++;
    states_[id] = false;
    if (request.prompt_logprobs >= 0) tell_prompt(id, text, request.prompt_logprobs, sink);
    for (int n = 0; n < request.n; ++n) {
      threads_.emplace_back([this, id, text, n, sink] {
        answer(id, text, [&](TokenEvent&& event) {
          event.answer = n;
          sink(std::move(event));
        });
      });
    }
    seen_.push_back(std::move(request));
    return Accepted{id, 5, 2, 10};
  }

  // Every image becomes four slices; the text "busy" would be refused, and "unplannable" is.
  std::variant<RequestPlan, Failure> plan(const Request& request) const override {
    RequestPlan plan{.prompt_tokens = 100, .max_tokens = 20, .answers = request.n, .page_size = 64};
    plan.prompt_pages = plan.most_pages = 2;
    for (const MessagePart& part :
         request.messages.empty() ? std::vector<MessagePart>() : request.messages.back().parts) {
      if (part.text == "busy")
        plan.refusal = Failure{FailureKind::busy, "queue_full", "The queue is full.", 2.5};
      if (part.text == "unplannable") return Failure{FailureKind::too_large, "image_too_large", "Too large."};
      if (!part.is_image()) continue;
      const ImageSize size = part.size.value_or(ImageSize{1, 1});
      ImagePlan image{{static_cast<int>(size.width), static_cast<int>(size.height), 2, 2, 4, 30, 0,
                       part.rule.detail, part.rule.max_slices},
                      0.5,
                      0.25,
                      {56, 70, 20, 5},
                      {42, 42, 9, 6},
                      26};
      plan.images.push_back(image);
      plan.image_tokens += image.report.tokens;
    }
    plan.cached = CachedParts{64, 3};
    return plan;
  }

  std::variant<std::vector<int32_t>, Failure> lay_out(const Request& request) const override {
    const auto planned = plan(request);
    if (const auto* failure = std::get_if<Failure>(&planned)) return *failure;
    return std::vector<int32_t>{104, -1, -1, 105};
  }

  void cancel(RequestId id) override {
    {
      std::lock_guard lock(mutex_);
      if (states_.contains(id)) states_[id] = true;
    }
    changed_.notify_all();
  }

  EngineStats stats() const override { return {.readiness = readiness}; }
  std::string metrics_text() const override { return "uhd_fake 1\n"; }
  void drain() override {}
  bool idle() const override { return true; }
  std::vector<int32_t> tokenize(const std::string& text, bool) const override {
    return {text.begin(), text.end()};
  }
  std::string detokenize(const std::vector<int32_t>& ids) const override { return {ids.begin(), ids.end()}; }
  std::string bytes_of_token(int32_t id) const override { return {static_cast<char>(id)}; }

  // Waits until `count` requests have been cancelled.
  void wait_for_cancelled(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return cancelled_ >= count; });
  }
  std::vector<Request> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

  // Forgets the requests that it got.
  void forget() {
    std::lock_guard lock(mutex_);
    seen_.clear();
  }

  ModelInfo info{"fake", "llava-uhd-v1", true, 2048, 1000};
  std::atomic<Readiness> readiness{Readiness::ready};
  std::atomic<int> turns = 0;                                  // a request "turn" waits for so many
  std::function<void(const std::string& text)> before_submit;  // on the thread that submits

 private:
  // Each byte of the prompt is a token, as likely as its place says; "?" is the likeliest everywhere.
  static void tell_prompt(RequestId id, const std::string& text, int likely, const TokenSink& sink) {
    for (size_t i = 0; i < text.size(); ++i) {
      PromptToken token{.id = text[i], .bytes = {text[i]}, .scored = i > 0};
      token.logprob = -1.5f * static_cast<float>(i);
      token.rank = 2;
      if (i > 0 && likely > 0) token.top = {{'?', "?", -0.25f}};
      TokenEvent event{.request = id};
      event.prompt.push_back(std::move(token));
      sink(std::move(event));
    }
  }

  void answer(RequestId id, const std::string& text, const TokenSink& sink) {
    Usage usage{.prompt_tokens = 5, .image_tokens = 2};
    const auto say = [&](std::string word) {
      ++usage.completion_tokens;
      TokenEvent event{.request = id, .text = std::move(word), .ids = {7}};
      event.logprobs.push_back({7, event.text, -0.5f, {{event.text, -0.5f}, {"\xff", -1.5f}}});
      sink(std::move(event));
    };
    const auto end = [&](FinishReason finish, std::optional<Failure> failure = std::nullopt) {
      usage.images.push_back({672, 1008, 2, 3, 6, 448, 1});
      usage.times.ttft = 0.25;
      sink({.request = id, .finish = finish, .usage = usage, .failure = std::move(failure)});
    };
    if (text == "fail")
      return end(FinishReason::error, Failure{FailureKind::invalid, "bad_image", "The image is broken."});
    if (text == "endless") {
      for (bool cancelled = false; !cancelled;) {
        say("word ");
        std::lock_guard lock(mutex_);
        cancelled = states_[id];
      }
    }
    if (text.starts_with("wait") || text == "late" || text == "later" || text == "endless") {
      if (text != "later" && text != "endless") say("First");
      if (text == "late")
        return end(FinishReason::error, Failure{FailureKind::internal, "lost", "A rank is gone."});
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return states_[id]; });
      lock.unlock();
      end(FinishReason::cancelled);
      lock.lock();
      ++cancelled_;
      changed_.notify_all();
      return;
    }
    if (text == "many") {
      for (int i = 0; i < 1000; ++i) say("word ");
      return end(FinishReason::length);
    }
    for (const char* word : {"Hello", " wörld", "!"}) say(word);
    end(FinishReason::stop);
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  RequestId next_ = 1;
  int cancelled_ = 0;
  std::map<RequestId, bool> states_;  // true if cancelled
  std::vector<Request> seen_;
  std::vector<std::thread> threads_;
};

}  // namespace uhd
