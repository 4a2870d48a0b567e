#include "engine/leader/cut_queue.h"

#include <algorithm>

namespace uhd {

namespace {

bool is_abandoned(const CutRequest& request) { return request.abandoned->load(std::memory_order_relaxed); }

int64_t slice_bytes(const CutRequest& request, size_t from) {
  int64_t bytes = 0;
  for (size_t i = from; i < request.images.size(); ++i) bytes += uhd::slice_bytes(request.images[i].plan);
  return bytes;
}

}  // namespace

int64_t slice_bytes(const SlicePlan& plan) {
  int64_t bytes = 0;
  for (int i = 0; i < plan.pieces(); ++i) bytes += 3 * plan.piece(i).width * plan.piece(i).height;
  return bytes;
}

void CutQueue::add(CutRequest request) {
  const std::string client = request.client;
  const auto bytes = static_cast<double>(slice_bytes(request, 0));
  const Urgency urgency = request.urgency;
  waiting_.push(client, urgency, bytes, std::make_shared<CutRequest>(std::move(request)));
}

std::optional<CutQueue::Work> CutQueue::next(TimePoint now) {
  forget_abandoned();
  if (begun_.empty() || passes_the_begun(now)) begin_next(now);
  if (begun_.empty()) return std::nullopt;
  Begun& begun = begun_.front();
  Work work{begun.request, begun.given_out++};
  if (begun.given_out == begun.request->images.size()) begun_.pop_front();
  return work;
}

void CutQueue::finish(const Work& work) { work.request->images[work.image].bytes.reset(); }

void CutQueue::fail(const Work& work) {
  in_use_ -= slice_bytes(work.task().plan);
  work.request->images[work.image].bytes.reset();
  std::erase_if(begun_, [&](const Begun& begun) {
    if (begun.request != work.request) return false;
    give_up(begun);
    return true;
  });
}

void CutQueue::forget_abandoned() {
  waiting_.erase_if([](const std::shared_ptr<CutRequest>& request) { return is_abandoned(*request); });
  std::erase_if(begun_, [&](const Begun& begun) {
    if (!is_abandoned(*begun.request)) return false;
    give_up(begun);
    return true;
  });
}

bool CutQueue::passes_the_begun(TimePoint now) {
  return !waiting_.empty() && more_urgent(waiting_.front(now)->urgency, begun_.front().request->urgency, now);
}

void CutQueue::begin_next(TimePoint now) {
  if (waiting_.empty()) return;
  const int64_t needed = slice_bytes(*waiting_.front(now), 0);
  if (in_use_ > 0 && in_use_ + needed > memory_) return;
  in_use_ += needed;
  begun_.push_front({waiting_.take(now)});
}

// Frees the memory that was reserved for images that nobody cuts.
void CutQueue::give_up(const Begun& begun) { in_use_ -= slice_bytes(*begun.request, begun.given_out); }

}  // namespace uhd
