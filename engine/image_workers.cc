#include "engine/image_workers.h"

#include <limits>

#include "base/log.h"

namespace uhd {

// The queue needs no bound of its own: requests are bounded, and so are the images of each.
ImageWorkers::ImageWorkers(int threads, const ImageOptions& options, const SlicingConfig& slicing,
                           std::function<void(CutImage)> done)
    : options_(options),
      slicing_(slicing),
      done_(std::move(done)),
      tasks_(std::numeric_limits<size_t>::max()) {
  for (int i = 0; i < std::max(1, threads); ++i) threads_.emplace_back([this] { work(); });
}

ImageWorkers::~ImageWorkers() {
  tasks_.close();
  while (tasks_.try_pop()) {
  }
}

void ImageWorkers::add(ImageTask task) { tasks_.try_push(std::move(task)); }

void ImageWorkers::work() {
  while (std::optional<ImageTask> task = tasks_.pop()) {
    if (!task->abandoned->load(std::memory_order_relaxed)) done_(cut(*task));
  }
}

CutImage ImageWorkers::cut(const ImageTask& task) const {
  const TimePoint start = Clock::now();
  CutImage cut{task.request, task.image, Failure{}, 0};
  try {
    const Image image = decode_image(*task.bytes, options_.limits, options_.reference_compat);
    cut.result = cut_slices(image, task.plan, slicing_, task.salt);
  } catch (const ImageError& e) {
    cut.result = Failure{400, e.code(), e.what(), 0};
  } catch (const std::exception& e) {
    log_error("an image could not be cut", "request", task.request, "reason", e.what());
    cut.result = Failure{500, "image_failed", "the image could not be processed", 0};
  }
  cut.seconds = seconds(Clock::now() - start);
  return cut;
}

}  // namespace uhd
