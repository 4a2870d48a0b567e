// The queue says which image is cut next: requests go by priority, and clients take turns by bytes (Turns). A
// request begins when all of its slices have memory, and where it is more urgent than the one that has begun,
// before that one's other images. A state machine over plain data; threads and pixels are image_workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/request.h"
#include "engine/turns.h"
#include "model/vision/slicer.h"

namespace uhd {

// One encoded image and how it is cut.
struct ImageTask {
  std::shared_ptr<const std::string> bytes;
  SlicePlan plan;
  int number = 0;  // the image's number in its request
};

// Images of one request.
struct CutRequest {
  RequestId request = 0;
  std::string client;  // takes turns with others
  Urgency urgency = {};
  std::string salt;  // model, preprocessing, tenant
  std::vector<ImageTask> images;
  std::shared_ptr<const std::atomic<bool>> abandoned;  // the request has ended: do not begin
};

using SharedSlice = std::shared_ptr<const Slice>;

// One image of a request became the pieces of its plan, or a failure.
struct CutImage {
  RequestId request = 0;
  int image = 0;
  std::variant<std::vector<SharedSlice>, Failure> result;
  Fingerprint cut;         // the picture's name (cut_name), where it became slices
  TimePoint begun, ended;  // the cutting
};

// Pixels of all slices of the plan, u8 RGB.
int64_t slice_bytes(const SlicePlan& plan);

// Not thread-safe.
class CutQueue {
 public:
  // `memory`: bytes of slices that are cut or being cut. A request that needs more goes alone. All that a
  // request needs is reserved before its first image begins, so that no two wait for each other.
  explicit CutQueue(int64_t memory) : memory_(memory) {}

  void add(CutRequest request);

  struct Work {
    std::shared_ptr<CutRequest> request;
    size_t image = 0;
    const ImageTask& task() const { return request->images[image]; }
  };
  // An image to cut now; finish() or fail() follows. Requests that were abandoned are forgotten on the way.
  std::optional<Work> next(TimePoint now);

  // The image became slices, whose memory counts until returned(). Its bytes are let go.
  void finish(const Work& work);
  // It became none: the request's other images need not begin.
  void fail(const Work& work);
  // Slices are gone.
  void returned(int64_t bytes) { in_use_ -= bytes; }

  int64_t in_use() const { return in_use_; }
  size_t waiting() const { return waiting_.size(); }  // requests not begun

 private:
  struct Begun {
    std::shared_ptr<CutRequest> request;
    size_t given_out = 0;  // the number of its images that were taken
  };
  void forget_abandoned();
  bool passes_the_begun(TimePoint now);
  void begin_next(TimePoint now);
  void give_up(const Begun& begun);

  int64_t memory_;
  int64_t in_use_ = 0;
  Turns<std::shared_ptr<CutRequest>> waiting_;
  std::deque<Begun> begun_;  // requests with images that nobody has taken, the most urgent first
};

}  // namespace uhd
