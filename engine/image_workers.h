// The leader's image threads: encoded bytes to u8 slices with fingerprints. The only place where the bytes of
// an image are decoded.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "base/queue.h"
#include "engine/options.h"
#include "model/vision/slicer.h"
#include "scheduler/request.h"

namespace uhd {

// One image of one request.
struct ImageTask {
  RequestId request = 0;
  int image = 0;
  std::shared_ptr<const std::string> bytes;
  SlicePlan plan;
  std::string salt;                                    // model, preprocessing, tenant
  std::shared_ptr<const std::atomic<bool>> abandoned;  // the request has ended: do not start
};

// What became of it: every piece of its plan in order, or why not.
struct CutImage {
  RequestId request = 0;
  int image = 0;
  std::variant<std::vector<Slice>, Failure> result;
  double seconds = 0;
};

class ImageWorkers {
 public:
  // `done` is called on a worker's thread; abandoned tasks end without it.
  ImageWorkers(int threads, const ImageOptions& options, const SlicingConfig& slicing,
               std::function<void(CutImage)> done);
  // Tasks not begun are dropped.
  ~ImageWorkers();

  void add(ImageTask task);

 private:
  void work();
  CutImage cut(const ImageTask& task) const;

  ImageOptions options_;
  SlicingConfig slicing_;
  std::function<void(CutImage)> done_;
  Queue<ImageTask> tasks_;
  std::vector<std::jthread> threads_;
};

}  // namespace uhd
