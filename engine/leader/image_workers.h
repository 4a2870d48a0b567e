// The leader's image threads: encoded bytes to u8 slices with fingerprints. The only place where the bytes of
// an image are decoded.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/leader/cut_queue.h"
#include "engine/options.h"

namespace uhd {

class ImageWorkers {
 public:
  // `isa` is backend.isa, for the resize. `slice_memory`: bytes of cut slices that anybody holds; more wait
  // uncut. `done` is called on a worker's thread, once for each image that is begun; images of abandoned
  // requests are not begun.
  ImageWorkers(int threads, const ImageOptions& options, const std::string& isa, const SlicingConfig& slicing,
               int64_t slice_memory, std::function<void(CutImage)> done);
  // Images not begun are dropped. Slices may live on.
  ~ImageWorkers();

  void add(CutRequest request);
  // A request that was added is abandoned: what it waits with is let go.
  void abandoned();

 private:
  // Lives as long as the last slice, which gives its memory back.
  struct Shared {
    explicit Shared(int64_t memory) : queue(memory) {}
    std::mutex mutex;
    std::condition_variable changed;
    CutQueue queue;
    bool closed = false;
  };
  void work();
  CutImage cut(const CutQueue::Work& work) const;
  SharedSlice share(Slice&& slice) const;

  ImageOptions options_;
  const RowKernels& resize_;
  SlicingConfig slicing_;
  std::function<void(CutImage)> done_;
  std::shared_ptr<Shared> shared_;
  std::vector<std::jthread> threads_;
};

}  // namespace uhd
