// Which image is cut next: clients take turns, requests of one go in order of arrival, and a request begins
// when all of its slices have memory. A state machine over plain data; threads and pixels are image_workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/request.h"
#include "model/vision/slicer.h"

namespace uhd {

// One encoded image and how it is cut.
struct ImageTask {
  std::shared_ptr<const std::string> bytes;
  SlicePlan plan;
};

// All images of one request.
struct CutRequest {
  RequestId request = 0;
  std::string client;  // takes turns with others
  std::string salt;    // model, preprocessing, tenant
  std::vector<ImageTask> images;
  std::shared_ptr<const std::atomic<bool>> abandoned;  // the request has ended: do not begin
};

using SharedSlice = std::shared_ptr<const Slice>;
// By image, then by piece of its plan.
using CutSlices = std::vector<std::vector<SharedSlice>>;

// What became of the images of a request: every slice, or why not.
struct CutImages {
  RequestId request = 0;
  std::variant<CutSlices, Failure> result;
};

// Pixels of all slices of the plan, u8 RGB.
int64_t slice_bytes(const SlicePlan& plan);

// Not thread-safe. Requests that name the same images in memory (the choices of one call) share one cut.
class CutQueue {
 public:
  // `memory`: bytes of slices that are cut or being cut. A request that needs more goes alone. All that a
  // request needs is reserved before its first image begins, so that no two wait for each other.
  explicit CutQueue(int64_t memory) : memory_(memory) {}

  void add(CutRequest request);

  struct Group;
  struct Work {
    std::shared_ptr<Group> group;
    size_t image = 0;
    const ImageTask& task() const;
    const std::string& salt() const;
  };
  // An image to cut now; finish() follows. Requests that were abandoned are forgotten on the way.
  std::optional<Work> next();

  // The memory of slices counts until returned().
  std::vector<CutImages> finish(const Work& work, std::variant<std::vector<SharedSlice>, Failure> result);
  // Of abandoned requests: to be let go by a caller that may call returned().
  std::vector<CutSlices> take_dropped() { return std::exchange(dropped_, {}); }
  // Slices are gone.
  void returned(int64_t bytes) { in_use_ -= bytes; }

  int64_t in_use() const { return in_use_; }
  size_t waiting() const;  // requests not begun; the choices of a call are one

 private:
  using Line = std::deque<std::shared_ptr<Group>>;
  bool join(const CutRequest& request);
  Line& line_of(const std::string& client);
  void forget_abandoned();
  bool begin_next();
  std::vector<CutImages> end(Group& group);

  int64_t memory_;
  int64_t in_use_ = 0;
  std::deque<Line> lines_;  // one a client, never empty; the first is next
  Line begun_;              // with images that nobody has taken
  Line taken_;              // the others that have not ended
  std::vector<CutSlices> dropped_;
};

}  // namespace uhd
