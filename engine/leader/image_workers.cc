#include "engine/leader/image_workers.h"

#include "base/host_memory.h"
#include "base/log.h"
#include "engine/leader/known_cuts.h"

namespace uhd {

ImageWorkers::ImageWorkers(int threads, const ImageOptions& options, const std::string& isa,
                           const SlicingConfig& slicing, int64_t slice_memory,
                           std::function<void(CutImage)> done)
    : options_(options),
      resize_(row_kernels(isa)),
      slicing_(slicing),
      done_(std::move(done)),
      shared_(std::make_shared<Shared>(slice_memory)) {
  for (int i = 0; i < std::max(1, threads); ++i) threads_.emplace_back([this] { work(); });
}

ImageWorkers::~ImageWorkers() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->closed = true;
  }
  shared_->changed.notify_all();
}

void ImageWorkers::add(CutRequest request) {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->queue.add(std::move(request));
  }
  shared_->changed.notify_all();
}

void ImageWorkers::abandoned() {
  {
    const std::lock_guard lock(shared_->mutex);  // else a worker that is about to wait would not hear it
  }
  shared_->changed.notify_one();
}

void ImageWorkers::work() {
  Shared& shared = *shared_;
  for (bool cut_some = false;;) {
    std::optional<CutQueue::Work> work;
    {
      std::unique_lock lock(shared.mutex);
      const auto wakes = [&] { return shared.closed || work || (work = shared.queue.next(Clock::now())); };
      if (!wakes() && std::exchange(cut_some, false)) {  // else a thread's arena keeps a megabyte
        lock.unlock();
        give_back_freed_memory();
        lock.lock();
      }
      shared.changed.wait(lock, wakes);
      if (shared.closed) return;
    }
    cut_some = true;
    CutImage image = cut(*work);
    const bool failed = std::holds_alternative<Failure>(image.result);
    {
      const std::lock_guard lock(shared.mutex);
      failed ? shared.queue.fail(*work) : shared.queue.finish(*work);
    }
    shared.changed.notify_all();
    done_(std::move(image));
  }
}

CutImage ImageWorkers::cut(const CutQueue::Work& work) const {
  const ImageTask& task = work.task();
  const std::string& salt = work.request->salt;
  CutImage image{.request = work.request->request, .image = task.number, .begun = Clock::now()};
  try {
    std::vector<SharedSlice> slices;
    for (Slice& slice : cut_encoded(*task.bytes, options_.limits, options_.reference_compat, task.plan,
                                    slicing_, salt, resize_)) {
      slices.push_back(share(std::move(slice)));
    }
    image.result = std::move(slices);
    image.cut = cut_name(*task.bytes, task.plan, salt);
  } catch (const ImageError& e) {
    image.result = Failure{FailureKind::invalid, e.code(), e.what(), 0, task.number};
  } catch (const std::exception& e) {
    log_error("an image could not be cut", "reason", e.what());
    image.result = Failure{FailureKind::internal, "image_failed", "the image could not be processed", 0};
  }
  image.ended = Clock::now();
  return image;
}

SharedSlice ImageWorkers::share(Slice&& slice) const {
  const auto bytes = static_cast<int64_t>(slice.pixels.size());
  return {new Slice(std::move(slice)), [shared = shared_, bytes](const Slice* gone) {
            delete gone;
            {
              const std::lock_guard lock(shared->mutex);
              shared->queue.returned(bytes);
            }
            shared->changed.notify_all();
          }};
}

}  // namespace uhd
