#include "emulation/cuda.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <boost/context/fiber.hpp>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <sstream>
#include <thread>

#include "emulation/stack_switch.h"
#include "emulation/stream_queue.h"
#include "emulation/streams.h"

constinit thread_local uint3 threadIdx{};
constinit thread_local uint3 blockIdx{};
constinit thread_local dim3 blockDim{};
constinit thread_local dim3 gridDim{};

namespace uhd::emulation {
namespace {

using boost::context::fiber;

constexpr size_t kStackBytes = size_t{256} << 10;  // address space; pages are touched as needed
constexpr size_t kSharedBytes = size_t{228} << 10;
constexpr size_t kGuardBytes = 256;
constexpr unsigned char kGuard = 0xa5;

LaneOrder order_of_environment() {
  const char* name = std::getenv("UHD_LANE_ORDER");
  return order_named(name == nullptr ? "forward" : name);
}

std::mutex settings_mutex;
LaneOrder lane_order = order_of_environment();
unsigned lane_seed = 1;
FlagWatch flag_watch;

// Stacks are given back to their lane, never to the system.
struct OwnStack {
  std::byte* base;
  boost::context::stack_context allocate() const {
    boost::context::stack_context s;
    s.size = kStackBytes;
    s.sp = base + kStackBytes;
    return s;
  }
  void deallocate(boost::context::stack_context&) const {}
};

struct Copy {
  void* to;
  const void* from;
  int bytes;
  int valid;
  int group;
};

struct Lane {
  enum class State { ready, paused, at_block, at_warp, done };
  State state = State::done;
  uint3 thread{};
  fiber context;
  std::byte* stack = nullptr;
  StackSwitch stack_switch;
  bool inside = false;  // the kernel, which has not come to its end
  const char* file = "";
  int line = 0;
  unsigned mask = 0;
  void* slot = nullptr;
  Combine combine = nullptr;
  std::vector<Copy> copies;
  int groups = 0;  // committed so far
};

// A bit for each lane.
struct Warp {
  unsigned lanes = 0;
  unsigned waiting = 0;  // in an operation of the warp
};

// Unwinds a lane that would wait for ever.
struct Abandoned {};

// Runs the blocks of one OS thread.
class Runner {
 public:
  void run(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()>& body) {
    {
      const std::lock_guard lock(settings_mutex);
      order_ = lane_order;
      random_.seed(lane_seed);
    }
    body_ = &body;
    shared_bytes_ = shared_bytes;
    gridDim = grid;
    blockDim = block;
    prepare(block);
    std::vector<uint64_t> blocks(uint64_t{grid.x} * grid.y * grid.z);
    std::iota(blocks.begin(), blocks.end(), 0);
    if (order_ == LaneOrder::reverse) std::reverse(blocks.begin(), blocks.end());
    if (order_ == LaneOrder::shuffled || order_ == LaneOrder::run_ahead)
      std::shuffle(blocks.begin(), blocks.end(), random_);
    for (const uint64_t b : blocks) {
      blockIdx = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                  static_cast<unsigned>(b / grid.x / grid.y)};
      run_block();
      if (broken_) break;
    }
  }

  void wait_for_block(const char* file, int line) {
    Lane& own = *current_;
    own.state = Lane::State::at_block;
    own.file = file;
    own.line = line;
    if (++at_block_ == count_) release_block();
    leave();
  }

  void wait_for_warp(unsigned mask, void* slot, Combine combine, const char* file, int line) {
    Lane& own = *current_;
    own.state = Lane::State::at_warp;
    own.file = file;
    own.line = line;
    own.mask = mask;
    own.slot = slot;
    own.combine = combine;
    const unsigned rank = rank_of(own), bit = 1u << rank % 32;
    if ((mask & bit) == 0) {
      stop(place("a lane is not in the mask it waits with", own));
    } else {
      Warp& warp = warps_[rank / 32];
      warp.waiting |= bit;
      // As on a device, threads that do not exist are not waited for.
      if ((mask & warp.lanes & ~warp.waiting) == 0) release_warp(own, rank / 32);
    }
    leave();
  }

  void pause() {
    current_->state = Lane::State::paused;
    leave();
  }

  // Works like a trap: nothing of this kernel runs any more.
  void end_lane() {
    broken_ = true;
    leave();
  }

  std::byte* shared() { return shared_; }
  Lane& lane() { return *current_; }
  void use(void* array, size_t bytes) {
    if (std::find(used_.begin(), used_.end(), array) != used_.end()) return;
    used_.push_back(array);
    std::memset(array, 0xff, bytes);
  }

 private:
  void prepare(dim3 block) {
    count_ = block.x * block.y * block.z;
    if (shared_ == nullptr) {
      shared_ = static_cast<std::byte*>(map(kSharedBytes + kGuardBytes + 4096));
    }
    while (lanes_.size() < count_) {
      lanes_.push_back(std::make_unique<Lane>());
      lanes_.back()->stack = static_cast<std::byte*>(map(kStackBytes));
    }
    for (unsigned i = 0; i < count_; ++i) {
      lanes_[i]->thread = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    }
    warps_.resize((count_ + 31) / 32);
    for (unsigned w = 0; w < warps_.size(); ++w) {
      const unsigned lanes = std::min(count_ - w * 32, 32u);
      warps_[w].lanes = lanes == 32 ? ~0u : (1u << lanes) - 1;
    }
    turns_.resize(count_);
    std::iota(turns_.begin(), turns_.end(), 0u);
    if (order_ == LaneOrder::reverse) std::reverse(turns_.begin(), turns_.end());
  }

  static void* map(size_t bytes) {
    void* p =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) std::abort();
    return p;
  }

  void run_block() {
    std::memset(shared_, 0xff, shared_bytes_);
    std::memset(shared_ + shared_bytes_, kGuard, kGuardBytes);
    used_.clear();
    at_block_ = 0;
    broken_ = false;
    for (Warp& warp : warps_) warp.waiting = 0;
    for (unsigned i = 0; i < count_; ++i) {
      lanes_[i]->state = Lane::State::ready;
      lanes_[i]->copies.clear();
      lanes_[i]->groups = 0;
    }
    left_ = count_;
    unsigned idle = 0;
    while (left_ > 0 && !broken_) {
      const bool moved = order_ == LaneOrder::run_ahead ? run_one_warp() : run_each();
      if (moved) {
        idle = 0;
      } else if (!any_paused()) {
        report_stuck();
        break;
      } else if (!failure().empty()) {
        broken_ = true;  // it waits for something that will not come
      } else {
        let_others_run(++idle);
      }
    }
    if (broken_) abandon();
    if (!broken_ && std::any_of(shared_ + shared_bytes_, shared_ + shared_bytes_ + kGuardBytes,
                                [](std::byte b) { return b != std::byte{kGuard}; })) {
      stop("a kernel wrote past its dynamic shared memory");
    }
  }

  bool run_each() {
    if (order_ == LaneOrder::shuffled) std::shuffle(turns_.begin(), turns_.end(), random_);
    return run_turns(0, count_);
  }

  bool run_one_warp() {
    const unsigned warps = (count_ + 31) / 32;
    const unsigned start = static_cast<unsigned>(random_()) % warps;
    for (unsigned w = 0; w < warps; ++w) {
      const unsigned first = (start + w) % warps * 32;
      const unsigned last = std::min(first + 32, count_);
      bool any = false;
      while (run_turns(first, last)) any = true;
      if (any) return true;
    }
    return false;
  }

  // Runs each lane of these turns that can go on, until it waits. Returns true if one went on; one that only
  // looked at its flag did not. A lane that leaves hands over to the next one itself, since each switch of
  // stacks costs as much as a lane's own work between two of them.
  bool run_turns(unsigned first, unsigned last) {
    turn_ = first;
    last_turn_ = last;
    moved_ = false;
    if (Lane* lane = next_lane()) enter(*lane);
    return moved_;
  }

  Lane* next_lane() {
    while (turn_ < last_turn_ && !broken_) {
      Lane& lane = *lanes_[turns_[turn_++]];
      if (lane.state == Lane::State::ready || lane.state == Lane::State::paused) return &lane;
    }
    return nullptr;
  }

  bool any_paused() const {
    return std::any_of(lanes_.begin(), lanes_.begin() + count_,
                       [](const auto& lane) { return lane->state == Lane::State::paused; });
  }
  // Other devices, which share the processors of this machine with all else.
  static void let_others_run(unsigned idle) {
    if (idle < 20) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

  fiber make_context(Lane& lane) {
    return fiber(std::allocator_arg, OwnStack{lane.stack}, [this, &lane](fiber&& from) {
      arrive(lane.stack_switch, std::move(from));
      for (;;) {
        lane.inside = true;
        try {
          (*body_)();
        } catch (const Abandoned&) {
        }
        lane.inside = false;
        lane.state = Lane::State::done;
        suspend();
      }
      return std::move(scheduler_);
    });
  }

  // The scheduler's way to a lane; it comes back when a lane that leaves finds no other.
  void enter(Lane& lane) {
    current_ = nullptr;
    switch_to(lane, scheduler_switch_);
  }

  // Leaves the running lane for the next one, or for the scheduler, until somebody enters it again.
  void suspend() {
    Lane& own = *current_;
    if (own.state == Lane::State::done) --left_;
    if (own.state != Lane::State::paused) moved_ = true;
    if (Lane* next = next_lane()) {
      switch_to(*next, own.stack_switch);
    } else {
      left_behind_ = &own;
      current_ = nullptr;
      own.stack_switch.leave(scheduler_stack_, scheduler_stack_bytes_);
      arrive(own.stack_switch, std::move(scheduler_).resume());
    }
  }

  void switch_to(Lane& lane, StackSwitch& own) {
    left_behind_ = current_;
    current_ = &lane;
    threadIdx = lane.thread;
    lane.state = Lane::State::ready;
    if (!lane.context) lane.context = make_context(lane);
    own.leave(lane.stack, kStackBytes);
    arrive(own, std::move(lane.context).resume());
  }

  // Keeps the place at which whoever came from there will go on.
  void arrive(StackSwitch& own, fiber from) {
    if (left_behind_ == nullptr) {
      scheduler_ = std::move(from);
      own.arrive(&scheduler_stack_, &scheduler_stack_bytes_);
    } else {
      left_behind_->context = std::move(from);
      own.arrive();
    }
  }

  void leave() {
    suspend();
    if (broken_) throw Abandoned{};
  }

  void release_block() {
    const Lane& first = *lanes_[0];
    for (unsigned i = 0; i < count_; ++i) {
      Lane& lane = *lanes_[i];
      if (lane.line != first.line || std::strcmp(lane.file, first.file) != 0)
        stop(place("threads of one block wait at different barriers", first) + place(" and", lane));
      lane.state = Lane::State::ready;
    }
    at_block_ = 0;
  }

  // All lanes of its mask wait.
  void release_warp(const Lane& own, unsigned number) {
    Warp& warp = warps_[number];
    const unsigned mask = own.mask & warp.lanes;
    void* slots[32] = {};
    for (unsigned i = 0; i < 32; ++i) {
      if ((mask >> i & 1) == 0) continue;
      const Lane& lane = *lanes_[number * 32 + i];
      if (lane.mask != own.mask) return;
      if (lane.combine != own.combine) {
        stop(place("lanes of one warp wait in different operations", own) + place(" and", lane));
        return;
      }
      slots[i] = lane.slot;
    }
    own.combine(slots);
    warp.waiting &= ~mask;
    for (unsigned i = 0; i < 32; ++i)
      if (slots[i] != nullptr) lanes_[number * 32 + i]->state = Lane::State::ready;
  }

  void report_stuck() {
    unsigned gone = 0, at_barrier = 0, in_warp = 0;
    const Lane* waiting = nullptr;
    for (unsigned i = 0; i < count_; ++i) {
      const Lane& lane = *lanes_[i];
      gone += lane.state == Lane::State::done;
      at_barrier += lane.state == Lane::State::at_block;
      in_warp += lane.state == Lane::State::at_warp;
      if (lane.state != Lane::State::done && waiting == nullptr) waiting = &lane;
    }
    std::ostringstream text;
    text << place("a barrier that not every thread reaches", *waiting) << ": of " << count_ << " threads, "
         << at_barrier << " wait for the block, " << in_warp << " for their warp, " << gone << " have ended";
    stop(text.str());
  }

  void stop(const std::string& report) {
    std::ostringstream text;
    text << report << " (block " << blockIdx.x << "," << blockIdx.y << "," << blockIdx.z << ")";
    fail(text.str());
    broken_ = true;
  }

  // Lanes that would wait for ever are entered once more, to be unwound.
  void abandon() {
    for (unsigned i = 0; i < count_; ++i) {
      if (lanes_[i]->inside) enter(*lanes_[i]);  // it finds no next one in what is broken
    }
  }

  static std::string place(const std::string& what, const Lane& lane) {
    return what + " at " + lane.file + ":" + std::to_string(lane.line);
  }
  unsigned rank_of(const Lane& lane) const {
    return (lane.thread.z * blockDim.y + lane.thread.y) * blockDim.x + lane.thread.x;
  }

  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<Warp> warps_;
  std::vector<unsigned> turns_;
  std::vector<void*> used_;
  std::mt19937 random_;
  LaneOrder order_ = LaneOrder::forward;
  const std::function<void()>* body_ = nullptr;
  fiber scheduler_;
  StackSwitch scheduler_switch_;
  const void* scheduler_stack_ = nullptr;  // of the thread that runs the blocks
  size_t scheduler_stack_bytes_ = 0;
  Lane* current_ = nullptr;      // the running lane; null: the scheduler
  Lane* left_behind_ = nullptr;  // the one that switched last, likewise
  std::byte* shared_ = nullptr;
  size_t shared_bytes_ = 0;
  unsigned count_ = 0;
  unsigned at_block_ = 0;
  unsigned turn_ = 0, last_turn_ = 0;  // the next of turns_, and the end of this round's
  unsigned left_ = 0;                  // lanes that have not ended
  bool moved_ = false;
  bool broken_ = false;
};

// Kept for the life of the process: the stacks of a thread that ended serve the next one.
std::mutex runners_mutex;
std::vector<std::unique_ptr<Runner>>& idle_runners() {
  static auto* runners = new std::vector<std::unique_ptr<Runner>>;
  return *runners;
}

struct RunnerOfThread {
  std::unique_ptr<Runner> runner;
  RunnerOfThread() {
    const std::lock_guard lock(runners_mutex);
    if (idle_runners().empty()) {
      runner = std::make_unique<Runner>();
    } else {
      runner = std::move(idle_runners().back());
      idle_runners().pop_back();
    }
  }
  ~RunnerOfThread() {
    const std::lock_guard lock(runners_mutex);
    idle_runners().push_back(std::move(runner));
  }
};

Runner& runner() {
  thread_local RunnerOfThread own;
  return *own.runner;
}

void perform(const Copy& c) {
  std::memcpy(c.to, c.from, static_cast<size_t>(c.valid));
  std::memset(static_cast<std::byte*>(c.to) + c.valid, 0, static_cast<size_t>(c.bytes - c.valid));
}

}  // namespace

LaneOrder order_named(std::string_view name) {
  constexpr std::string_view kNames[] = {"forward", "reverse", "shuffled", "run_ahead"};
  const auto* at = std::find(std::begin(kNames), std::end(kNames), name);
  if (at == std::end(kNames)) std::abort();  // a test that would not test what it says
  return static_cast<LaneOrder>(at - std::begin(kNames));
}

void set_lane_order(LaneOrder order, unsigned seed) {
  const std::lock_guard lock(settings_mutex);
  lane_order = order;
  lane_seed = seed;
}

void block_barrier(const char* file, int line) { runner().wait_for_block(file, line); }

void warp_collective(unsigned mask, void* slot, Combine combine, const char* file, int line) {
  runner().wait_for_warp(mask, slot, combine, file, line);
}

std::byte* dynamic_shared() { return runner().shared(); }

void use_in_block(void* array, size_t bytes) { runner().use(array, bytes); }

void require_aligned(const void* address, size_t alignment, const char* file, int line) {
  if (reinterpret_cast<uintptr_t>(address) % alignment == 0) return;
  std::ostringstream text;
  text << "an access of " << alignment << " bytes is not aligned at " << file << ":" << line;
  fail(text.str());
}

void fail_lane(const char* what, const char* file, int line) {
  std::ostringstream text;
  text << what << " at " << file << ":" << line << " (block " << blockIdx.x << "," << blockIdx.y << ","
       << blockIdx.z << ", thread " << thread_rank() << ")";
  fail(text.str());
  runner().end_lane();
}

void copy_async(void* shared, const void* global, int bytes, int valid_bytes) {
  Lane& lane = runner().lane();
  lane.copies.push_back({shared, global, bytes, valid_bytes, lane.groups});
}

void commit_copies() { ++runner().lane().groups; }

void wait_copies(int groups_left) {
  Lane& lane = runner().lane();
  const auto done = [&](const Copy& c) { return c.group < lane.groups - groups_left; };
  for (const Copy& c : lane.copies)
    if (done(c)) perform(c);
  std::erase_if(lane.copies, done);
}

void watch_flags(FlagWatch watch) { flag_watch = std::move(watch); }

void store_flag(uint32_t* flag, uint32_t value) {
  std::atomic_ref(*flag).store(value, std::memory_order_release);
  if (flag_watch.stored) flag_watch.stored(flag, value);
}

uint32_t load_flag(const uint32_t* flag) {
  const uint32_t value = std::atomic_ref(*const_cast<uint32_t*>(flag)).load(std::memory_order_acquire);
  if (flag_watch.loaded) flag_watch.loaded(flag, value);
  return value;
}

void pause_lane() { runner().pause(); }

uint64_t clock_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

cudaError_t launch(dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   std::function<void()> body, std::vector<uint64_t> words) {
  constexpr size_t kMostShared = size_t{99}
                                 << 10;  // of one block on every architecture the backend is built for
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 ||
      threads == 0 || threads > 1024 || block.z > 64 || shared_bytes > kMostShared) {
    std::ostringstream text;
    text << "grid " << grid.x << "," << grid.y << "," << grid.z << " of blocks " << block.x << "," << block.y
         << "," << block.z << " with " << shared_bytes << " bytes of shared memory";
    return misuse(cudaErrorInvalidConfiguration, text.str());
  }
  std::vector<const void*> touches;
  for (const uint64_t word : words) {
    const auto* p = reinterpret_cast<const void*>(word);
    if (buffer_number(p) == 0) continue;
    const int owner = buffer_device(p);
    if (owner >= 0 && !reaches(state_of(stream)->device, owner))
      return misuse(cudaErrorIllegalAddress,
                    "a kernel of device " + std::to_string(state_of(stream)->device) +
                        " is given memory of device " + std::to_string(owner) + ", which it does not reach");
    touches.push_back(p);
  }
  return enqueue(
      stream, "a kernel", [=, body = std::move(body)] { runner().run(grid, block, shared_bytes, body); },
      std::move(touches));
}

}  // namespace uhd::emulation
