#include "emulation/stream_queue.h"

#include <algorithm>
#include <chrono>

#include "emulation/cuda.h"

// A stream handle points to this.
struct CUstream_st {
  std::shared_ptr<uhd::emulation::StreamState> state;
};

namespace uhd::emulation {
namespace {

StreamOrder stream_order = StreamOrder::late;
bool event_waits_left_out = false;
std::mt19937 stream_random(1);
std::condition_variable& stream_moved() {  // threads of devices may outlive main
  static auto* moved = new std::condition_variable;
  return *moved;
}
std::vector<std::shared_ptr<StreamState>>& all_streams() {
  static auto* streams = new std::vector<std::shared_ptr<StreamState>>;
  return *streams;
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

bool buffers_live(const Task& task) {
  for (const auto& [address, number] : task.buffers) {
    if (buffer_number(address) == number) continue;
    fail(task.what + " uses a buffer that was freed after it was queued or captured");
    return false;
  }
  return true;
}

bool run_step(const Task& task) { return !failure().empty() || !buffers_live(task) || task.step(); }

// Runs the first task, with the lock given back meanwhile.
void run_first(std::unique_lock<std::mutex>& lock, StreamState& stream) {
  stream.running = true;
  if (stream.tasks.front().step) {
    const Task& first = stream.tasks.front();  // stays where it is while `running` keeps others away
    lock.unlock();
    const bool done = run_step(first);
    if (!done) std::this_thread::yield();
    lock.lock();
    if (!done) {
      stream.running = false;
      stream_moved().notify_all();
      return;
    }
  }
  const Task task = std::move(stream.tasks.front());
  stream.tasks.pop_front();
  if (task.step) {
  } else if (task.waits) {
    EventState& event = *task.event;
    if (event.done < task.turn && event.stream)
      drain(lock, *event.stream, [&] { return event.done >= task.turn; });
  } else if (task.event) {
    task.event->done = std::max(task.event->done, task.turn);
    task.event->reached_ms = now_ms();
  } else {
    lock.unlock();
    run_task(task);
    lock.lock();
  }
  stream.running = false;
  ++stream.finished;
  stream_moved().notify_all();
}

}  // namespace

Counters& counters() {
  static Counters counters{};
  return counters;
}

Counts counts() {
  const Counters& now = counters();
  return {now.stream_waits, now.unpinned_reads, now.taken, now.freed};
}

std::mutex& queue_mutex() {
  static std::mutex mutex;
  return mutex;
}

void set_stream_order(StreamOrder order, unsigned seed) {
  const std::lock_guard lock(queue_mutex());
  stream_order = order;
  stream_random.seed(seed);
}

void leave_out_event_waits(bool out) {
  const std::lock_guard lock(queue_mutex());
  event_waits_left_out = out;
}

void run_task(const Task& task) {
  if (task.step) {
    while (!run_step(task)) std::this_thread::yield();
  } else if (failure().empty() && buffers_live(task)) {
    task.work();
  }
}

void drain(std::unique_lock<std::mutex>& lock, StreamState& stream, const std::function<bool()>& enough) {
  while (!enough()) {
    if (stream.running) {
      stream_moved().wait(lock);
    } else if (stream.tasks.empty()) {
      return;
    } else {
      run_first(lock, stream);
    }
  }
}

void drain_device(int device) {
  std::unique_lock lock(queue_mutex());
  const std::vector<std::shared_ptr<StreamState>> streams = all_streams();
  for (const auto& stream : streams) {
    if (device >= 0 && stream->device != device) continue;
    const uint64_t target = stream->queued;
    drain(lock, *stream, [&] { return stream->finished >= target; });
  }
}

bool has_streams(int device) {
  const std::lock_guard lock(queue_mutex());
  return std::any_of(all_streams().begin(), all_streams().end(),
                     [&](const auto& stream) { return stream->device == device; });
}

bool advance_device(int device) {
  std::unique_lock lock(queue_mutex());
  bool moved = false;
  const std::vector<std::shared_ptr<StreamState>> streams = all_streams();
  for (const auto& stream : streams) {
    if (stream->device != device || stream->running || stream->tasks.empty()) continue;
    run_first(lock, *stream);
    moved = true;
  }
  return moved;
}

cudaError_t append(const std::shared_ptr<StreamState>& stream, Task task) {
  std::unique_lock lock(queue_mutex());
  if (stream->capture) {
    stream->capture->tasks.push_back(std::move(task));
    return cudaSuccess;
  }
  stream->tasks.push_back(std::move(task));
  const uint64_t target = ++stream->queued;
  if (stream_order == StreamOrder::eager) {
    drain(lock, *stream, [&] { return stream->finished >= target; });
  } else if (stream_order == StreamOrder::random) {
    std::vector<std::shared_ptr<StreamState>> own;
    for (const auto& s : all_streams())
      if (s->creator == std::this_thread::get_id() && !s->running && !s->tasks.empty()) own.push_back(s);
    const size_t choice = stream_random() % (2 * own.size() + 1);  // half of the time nothing runs
    if (choice < own.size()) run_first(lock, *own[choice]);
  }
  return failure().empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

namespace {

cudaError_t enqueue_task(cudaStream_t stream, Task task, const std::vector<const void*>& touches) {
  const auto state = state_of(stream);
  if (!state) return misuse(cudaErrorInvalidResourceHandle, task.what + " on a stream that was destroyed");
  for (const void* p : touches) {
    if (const uint64_t number = buffer_number(p); number != 0) task.buffers.emplace_back(p, number);
  }
  return append(state, std::move(task));
}

}  // namespace

cudaError_t enqueue(cudaStream_t stream, std::string what, std::function<void()> work,
                    std::vector<const void*> touches) {
  Task task;
  task.what = std::move(what);
  task.work = std::move(work);
  return enqueue_task(stream, std::move(task), touches);
}

cudaError_t enqueue_steps(cudaStream_t stream, std::string what, std::function<bool()> step,
                          std::vector<const void*> touches) {
  Task task;
  task.what = std::move(what);
  task.step = std::move(step);
  return enqueue_task(stream, std::move(task), touches);
}

bool advance(cudaStream_t stream) {
  const auto state = state_of(stream);
  if (!state) return false;
  std::unique_lock lock(queue_mutex());
  if (state->running || state->tasks.empty()) return state->running;
  run_first(lock, *state);
  return true;
}

bool capturing_on_this_thread() {
  const std::lock_guard lock(queue_mutex());
  return std::any_of(all_streams().begin(), all_streams().end(), [](const auto& s) {
    return s->capture && s->capture->recorder == std::this_thread::get_id();
  });
}

std::shared_ptr<StreamState> new_stream() {
  auto state = std::make_shared<StreamState>();
  state->device = current_device();
  state->creator = std::this_thread::get_id();
  const std::lock_guard lock(queue_mutex());
  all_streams().push_back(state);
  return state;
}

void forget_stream(const std::shared_ptr<StreamState>& stream) {
  std::unique_lock lock(queue_mutex());
  drain(lock, *stream, [&] { return stream->finished >= stream->queued; });
  std::erase(all_streams(), stream);
}

std::shared_ptr<StreamState> state_of(cudaStream_t stream) {
  if (stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
    static const std::shared_ptr<StreamState> null_stream = new_stream();
    return null_stream;
  }
  return stream->state;
}

}  // namespace uhd::emulation

using namespace uhd::emulation;

namespace {

cudaError_t sticky() { return failure().empty() ? cudaSuccess : cudaErrorLaunchFailure; }

// A wait inside a capture ends it, as on a device.
bool breaks_capture(StreamState& stream) {
  const std::lock_guard lock(queue_mutex());
  if (stream.capture) stream.capture->broken = true;
  return stream.capture != nullptr;
}

}  // namespace

// Handles are kept for the life of the process, so that use of a destroyed one is an error and not a crash.
extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned, int) {
  if (sticky() != cudaSuccess) return sticky();
  static auto* handles = new std::deque<CUstream_st>;
  auto state = new_stream();
  const std::lock_guard lock(queue_mutex());
  handles->push_back({std::move(state)});
  *out = &handles->back();
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* out, unsigned flags) {
  return cudaStreamCreateWithPriority(out, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t* out) { return cudaStreamCreateWithPriority(out, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const auto state = state_of(stream);
  if (!state) return misuse(cudaErrorInvalidResourceHandle, "a stream destroyed twice");
  forget_stream(state);
  stream->state = nullptr;
  return sticky();
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++counters().stream_waits;
  const auto state = state_of(stream);
  if (!state) return misuse(cudaErrorInvalidResourceHandle, "synchronize on a destroyed stream");
  if (breaks_capture(*state)) return misuse(cudaErrorStreamCaptureUnsupported, "a wait during capture");
  {
    std::unique_lock lock(queue_mutex());
    const uint64_t target = state->queued;
    drain(lock, *state, [&] { return state->finished >= target; });
  }
  return sticky();
}

// Each question moves the stream one task on, so that a loop of questions ends.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const auto state = state_of(stream);
  if (!state) return misuse(cudaErrorInvalidResourceHandle, "query of a destroyed stream");
  if (breaks_capture(*state)) return misuse(cudaErrorStreamCaptureUnsupported, "a query during capture");
  std::unique_lock lock(queue_mutex());
  if (!state->running && !state->tasks.empty()) run_first(lock, *state);
  if (state->finished < state->queued) return cudaErrorNotReady;
  lock.unlock();
  return sticky();
}

cudaError_t cudaDeviceSynchronize() {
  ++counters().stream_waits;
  if (capturing_on_this_thread())
    return misuse(cudaErrorStreamCaptureUnsupported, "a wait for the device during capture");
  drain_device(current_device());
  return sticky();
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  return enqueue(stream, "a host function", [=] { function(data); }, {});
}

}  // extern "C"

struct CUevent_st {
  std::shared_ptr<EventState> state;
};

extern "C" {

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = new CUevent_st{std::make_shared<EventState>()};
  return sticky();
}
cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return sticky();
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const auto state = state_of(stream);
  if (!state) return misuse(cudaErrorInvalidResourceHandle, "a record in a destroyed stream");
  Task task;
  task.what = "an event";
  task.event = event->state;
  {
    const std::lock_guard lock(queue_mutex());
    event->state->stream = state;
    task.turn = ++event->state->recorded;
  }
  return append(state, std::move(task));
}
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  return cudaEventRecord(event, stream);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const auto state = state_of(stream);
  if (!state) return misuse(cudaErrorInvalidResourceHandle, "a wait in a destroyed stream");
  Task task;
  task.what = "a wait for an event";
  task.waits = true;
  task.event = event->state;
  {
    const std::lock_guard lock(queue_mutex());
    task.turn = event->state->recorded;
    if (task.turn == 0) return cudaSuccess;
    // Work forked from a captured stream belongs to the same graph; its order of capture is a valid order.
    const auto& from = event->state->stream;
    if (from->capture && !state->capture) state->capture = from->capture;
  }
  return append(state, std::move(task));
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (capturing_on_this_thread())
    return misuse(cudaErrorStreamCaptureUnsupported, "a query of an event during capture");
  std::unique_lock lock(queue_mutex());
  EventState& state = *event->state;
  if (state.done >= state.recorded) return cudaSuccess;
  StreamState& stream = *state.stream;
  if (!stream.running && !stream.tasks.empty()) run_first(lock, stream);
  if (state.done < state.recorded) return cudaErrorNotReady;
  lock.unlock();
  return sticky();
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  {
    std::unique_lock lock(queue_mutex());
    EventState& state = *event->state;
    const uint64_t target = state.recorded;
    if (state.stream && !event_waits_left_out)
      drain(lock, *state.stream, [&] { return state.done >= target; });
  }
  return sticky();
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  *ms = static_cast<float>(end->state->reached_ms - start->state->reached_ms);
  return sticky();
}

}  // extern "C"

struct CUgraph_st {
  std::shared_ptr<GraphState> state;
};
struct CUgraphExec_st {
  std::shared_ptr<GraphState> state;
};

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  cuda_called(__func__);
  const auto state = state_of(stream);
  if (!state || stream == nullptr)
    return misuse(cudaErrorStreamCaptureUnsupported,
                  "capture of a destroyed stream or of the default stream");
  const std::lock_guard lock(queue_mutex());
  if (state->capture) return misuse(cudaErrorIllegalState, "capture inside a capture");
  state->capture = std::make_shared<GraphState>();
  state->capture->recorder = std::this_thread::get_id();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const auto state = state_of(stream);
  const std::lock_guard lock(queue_mutex());
  *status = !state->capture          ? cudaStreamCaptureStatusNone
            : state->capture->broken ? cudaStreamCaptureStatusInvalidated
                                     : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* out) {
  const auto state = state_of(stream);
  const std::lock_guard lock(queue_mutex());
  *out = nullptr;
  if (!state || !state->capture) return misuse(cudaErrorIllegalState, "the stream is not captured");
  const auto graph = state->capture;
  for (const auto& s : all_streams())
    if (s->capture == graph) s->capture = nullptr;
  if (graph->broken) return misuse(cudaErrorStreamCaptureInvalidated, "the capture was broken");
  *out = new CUgraph_st{graph};
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long) {
  cuda_called(__func__);
  *out = new CUgraphExec_st{graph->state};
  return sticky();
}
// A query of the stream gets an answer, though the graph waits for someone else.
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  cuda_called(__func__);
  const auto state = graph->state;
  return enqueue_steps(stream, "a graph",
                       [state, next = size_t{0}]() mutable {
                         for (; next < state->tasks.size(); ++next) {
                           const Task& task = state->tasks[next];
                           if (task.step && !run_step(task)) return false;
                           if (task.work) run_task(task);
                         }
                         return true;
                       },
                       {});
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete graph;
  return sticky();
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t stream) {
  return state_of(stream) ? sticky()
                          : misuse(cudaErrorInvalidResourceHandle, "an upload in a destroyed stream");
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return sticky();
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t*, size_t* count) {
  *count = graph->state->tasks.size();
  return sticky();
}

}  // extern "C"
