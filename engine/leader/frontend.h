// The engine as its callers meet it, on their own threads: requests up to the mailbox, and what is known of
// the engine.
#pragma once

#include <atomic>
#include <memory>

#include "engine/engine.h"
#include "engine/leader/leader_loop.h"
#include "engine/leader/request_memory.h"

namespace uhd {

class Frontend final : public Engine {
 public:
  // Starts the leader's loop; a rank that does not answer its first steps is an Error.
  explicit Frontend(LeaderParts parts);
  // Ends running requests as cancelled and tells the other LLM ranks to stop.
  ~Frontend() override;

  const ModelInfo& model() const override { return parts_.info; }
  std::variant<Accepted, Failure> submit(Request&& request, TokenSink sink) override;
  std::variant<RequestPlan, Failure> plan(const Request& request) const override;
  std::variant<std::vector<int32_t>, Failure> lay_out(const Request& request) const override;
  void cancel(RequestId id) override { parts_.mailbox->post(CancelRequest{id}); }
  EngineStats stats() const override;
  std::string metrics_text() const override;
  void drain() override { state_.draining = true; }
  bool idle() const override { return state_.places == 0; }
  std::vector<int32_t> tokenize(const std::string& text, bool add_special) const override;
  std::string detokenize(const std::vector<int32_t>& ids) const override;
  std::string bytes_of_token(int32_t id) const override { return parts_.tokenizer->bytes_of_token(id); }

  // From any thread: ranks are lost, and a step under way may never end. Every stream ends with an error.
  void ranks_lost(const std::string& reason) { loop_->ranks_lost(reason); }

 private:
  std::optional<Failure> take_places(int answers);
  // Refuses what could have no place even if all were free.
  std::optional<Failure> check_places(int answers) const;
  bool has_places(int taken, int answers) const { return answers <= places() - taken; }
  int places() const { return parts_.options.max_running + parts_.options.max_waiting; }
  Failure no_place(int taken, int answers) const;
  Failure full(const std::string& reason) const;
  std::optional<Failure> check_grammar_turn(const Request& request);
  std::variant<Accepted, Failure> accept(Request&& request, TokenSink sink);
  std::string salt_of(const Request& request) const;
  std::optional<Failure> compile_grammar(const Request& request, PlannedRequest& planned);
  void count_compiling(const Request& request, double seconds);
  std::optional<Failure> take_quota(const Request& request, double cost);
  std::variant<Accepted, Failure> queue(Request request, PlannedRequest plan, double cost,
                                        std::shared_ptr<void> memory, TokenSink sink);
  void predict(const PlannedRequest& planned, RequestPlan& plan) const;
  CacheQuestion question_of(const Request& request, const PlannedRequest& planned) const;
  std::optional<CachedParts> cached_of(const Request& request, const PlannedRequest& planned) const;
  std::optional<Failure> refusal_of(const Request& request, const PlannedRequest& planned) const;
  std::shared_ptr<void> take_memory(const std::string& client, PlannedRequest& planned, int answers);
  Failure no_memory(const std::string& client) const;
  // Refuses what would tell more of its prompt than the memory of all requests holds.
  std::optional<Failure> check_told(const PlannedRequest& planned) const;
  double cost_of(const PlannedRequest& planned, int answers) const;

  LeaderParts parts_;
  LeaderState state_;
  RequestMemory memory_;
  std::atomic<uint64_t> last_id_{0};
  // It is true while a question about caches is on its way, which may outlive the one who asks.
  std::shared_ptr<std::atomic<bool>> asked_ = std::make_shared<std::atomic<bool>>(false);
  std::unique_ptr<LeaderLoop> loop_;
};

}  // namespace uhd
