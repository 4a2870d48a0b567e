#include "emulation/nccl_mesh.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "emulation/cuda.h"
#include "emulation/nccl_sockets.h"
#include "emulation/nccl_watch.h"
#include "emulation/streams.h"
#include "kernels/dtype.h"

namespace uhd::emulation {
namespace {

constexpr auto kIdLife = std::chrono::minutes(10);  // of an id that nobody comes to: the library's has no end
constexpr auto kRecordingLife = std::chrono::seconds(20);  // after which a wait for recordings has failed

struct IdBytes {
  uint64_t magic;
  uint16_t port;
};

// A rank tells this about itself, and is told the same of the others.
struct Card {
  uint64_t magic;
  int32_t rank;
  int32_t size;
  uint16_t port;
  std::array<char, 16> device;  // begins with its process
};

// Precedes the data of each operation, both ways.
struct Header {
  NcclKind kind;
  ncclDataType_t type;
  uint64_t count;
  int32_t root;
};

const char* name_of(NcclKind kind) {
  constexpr std::array<const char*, 5> kNames{"all-reduce", "all-gather", "broadcast", "send", "receive"};
  return kNames[static_cast<size_t>(kind)];
}

std::string words(const Header& h) {
  return std::string(name_of(h.kind)) + " of " + std::to_string(h.count) + " elements of type " +
         std::to_string(h.type) + (h.root >= 0 ? ", root " + std::to_string(h.root) : "");
}

// Collects the cards of all ranks, then gives each the whole set.
void serve_id(Socket listener, uint64_t magic) {
  const auto limit = std::chrono::steady_clock::now() + kIdLife;
  const GivenUp given_up = [limit] { return std::chrono::steady_clock::now() > limit; };
  std::vector<Socket> ranks;
  std::vector<Card> cards;
  while (cards.empty() || cards.size() < static_cast<size_t>(cards[0].size)) {
    Socket rank = listener.accept(given_up, 2000);
    Card card;
    if (!rank.open() || given_up()) return;
    if (!rank.receive_all(&card, sizeof(card), given_up) || card.magic != magic) continue;
    ranks.push_back(std::move(rank));
    cards.push_back(card);
  }
  for (const Socket& rank : ranks) rank.send_all(cards.data(), cards.size() * sizeof(Card));
  nccl_holds({.ids = -1});
}

}  // namespace

size_t size_of_type(ncclDataType_t type) {
  switch (type) {
    case ncclFloat32:
    case ncclInt32:
      return 4;
    case ncclBfloat16:
    case ncclFloat16:
      return 2;
    case ncclUint8:
    case ncclInt8:
      return 1;
    default:
      return 0;
  }
}

struct NcclRank::State : std::enable_shared_from_this<State> {
  int rank = 0;
  int size = 1;
  uint64_t magic = 0;
  uint16_t root_port = 0;
  std::array<char, 16> device{};

  mutable std::mutex mutex;
  std::atomic<bool> aborted{false};
  bool met = false;
  ncclResult_t failed = ncclSuccess;
  std::string reason;
  std::vector<Socket> peers;  // by rank; the own one stays closed
  bool blocking = false;
  int neighbours = 1;     // ranks of this process, this one included
  bool queueing = false;  // on a thread of a call
  std::thread call;
  std::atomic<int> recorded{0};  // operations that graphs hold
  int unfinished = 0;
  bool finalizing = false;
  bool finalized = false;
  std::set<cudaStream_t> streams;
  std::thread thread;

  void fail(ncclResult_t code, const std::string& why) {  // the mutex is held
    if (failed != ncclSuccess) return;
    failed = code;
    reason = why;
  }

  void run() {
    if (!meet()) return;
    drive();
  }

  bool meet() {
    const GivenUp given_up = [this] { return aborted.load(); };
    const auto lost = [this](const char* why) {
      const std::lock_guard lock(mutex);
      fail(ncclSystemError, why);
      return false;
    };
    const Socket listener = Socket::listen();
    const Socket root = Socket::connect(root_port);
    if (!listener.open() || !root.open()) return lost("nobody answers at the id");
    const Card own{magic, rank, size, listener.port(), device};
    std::vector<Card> cards(static_cast<size_t>(size));
    if (!root.send_all(&own, sizeof(own)) ||
        !root.receive_all(cards.data(), cards.size() * sizeof(Card), given_up)) {
      return lost("the ranks did not all come");
    }
    std::vector<uint16_t> ports(cards.size());
    std::set<std::array<char, 16>> devices;
    for (const Card& card : cards) {
      if (card.size != size || card.rank < 0 || card.rank >= size ||
          ports[static_cast<size_t>(card.rank)] != 0) {
        return lost("ranks came with different sizes or equal numbers");
      }
      ports[static_cast<size_t>(card.rank)] = card.port;
      devices.insert(card.device);
    }
    if (devices.size() != cards.size()) {
      const std::lock_guard lock(mutex);
      fail(ncclInvalidUsage, "Duplicate GPU detected");
      return false;
    }
    std::vector<Socket> sockets(cards.size());
    for (int p = 0; p < rank; ++p) {
      Socket& socket = sockets[static_cast<size_t>(p)] = Socket::connect(ports[static_cast<size_t>(p)]);
      if (!socket.open() || !socket.send_all(&rank, sizeof(rank))) return lost("a rank is gone");
    }
    for (int p = rank + 1; p < size; ++p) {
      Socket socket = listener.accept(given_up);
      int who = 0;
      if (!socket.open() || !socket.receive_all(&who, sizeof(who), given_up)) return lost("a rank is gone");
      sockets[static_cast<size_t>(who)] = std::move(socket);
    }
    const std::lock_guard lock(mutex);
    peers = std::move(sockets);
    neighbours = static_cast<int>(std::count_if(cards.begin(), cards.end(), [&](const Card& card) {
      return std::memcmp(card.device.data(), device.data(), sizeof(pid_t)) == 0;
    }));
    met = true;
    return true;
  }

  // While a peer has sent something, the streams with this rank's part are driven: a device needs nobody to
  // wait.
  void drive() {
    std::vector<pollfd> wanted;
    for (const Socket& peer : peers) {
      if (peer.open()) wanted.push_back({peer.fd(), POLLIN, 0});
    }
    while (!aborted) {
      const int ready = ::poll(wanted.data(), wanted.size(), 2);
      std::set<cudaStream_t> used;
      {
        const std::lock_guard lock(mutex);
        if (ready > 0 || finalizing) used = streams;
      }
      bool moved = false;
      for (cudaStream_t s : used) moved = advance(s) || moved;
      if (ready > 0 || !moved) std::this_thread::sleep_for(std::chrono::microseconds(moved ? 20 : 500));
    }
  }
};

namespace {

using State = NcclRank::State;

// Neighbours are the ranks of a communicator in this process: the last that ends frees everything that they
// hold.
struct Neighbours {
  std::vector<std::shared_ptr<State>> ended;
};
std::mutex neighbours_mutex;
std::map<uint64_t, Neighbours>& all_neighbours() {
  static auto* all = new std::map<uint64_t, Neighbours>;
  return *all;
}

// Returns the states whose recordings must be gone before this one, which ends, is freed: none while others
// are left.
std::vector<std::shared_ptr<State>> ended_with(const std::shared_ptr<State>& state) {
  const std::lock_guard lock(neighbours_mutex);
  Neighbours& all = all_neighbours()[state->magic];
  all.ended.push_back(state);
  if (static_cast<int>(all.ended.size()) < state->neighbours) return {};
  const auto ended = std::move(all.ended);
  all_neighbours().erase(state->magic);
  return ended;
}

void wait_for_recordings(const State& state) {
  const auto limit = std::chrono::steady_clock::now() + kRecordingLife;
  while (state.recorded > 0) {
    if (std::chrono::steady_clock::now() > limit)
      return fail("NCCL waits for ever to free a communicator: graphs hold its operations");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// One operation under way; begins again when it is done, for graphs.
class Operation {
 public:
  Operation(std::shared_ptr<State> state, NcclCall call, bool counted)
      : state_(std::move(state)), call_(call), counted_(counted) {
    if (!counted_) ++state_->recorded;
  }
  ~Operation() {
    if (!counted_) --state_->recorded;
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  bool step() {
    const std::lock_guard lock(state_->mutex);
    if (state_->aborted) return true;
    if (state_->failed != ncclSuccess) return false;
    if (!started_) start();
    bool done = true;
    for (Exchange& e : exchanges_) done = advance(e) && done;
    if (!done || state_->failed != ncclSuccess) return false;
    finish();
    started_ = false;
    if (counted_) --state_->unfinished;
    return true;
  }

 private:
  struct Exchange {
    int peer = 0;
    std::vector<char> out;
    size_t sent = 0;
    Header header{};
    size_t header_got = 0;
    std::vector<char> in;
    size_t got = 0;
  };

  size_t bytes() const { return call_.count * size_of_type(call_.type); }
  bool message() const { return call_.kind == NcclKind::send || call_.kind == NcclKind::receive; }
  bool sends() const {
    return call_.kind == NcclKind::broadcast ? call_.peer == state_->rank : call_.kind != NcclKind::receive;
  }
  bool receives_from(int peer) const {
    return call_.kind == NcclKind::broadcast ? call_.peer == peer : call_.kind != NcclKind::send;
  }

  void start() {
    exchanges_.clear();
    own_.assign(bytes(), 0);
    if (call_.from != nullptr) std::memcpy(own_.data(), call_.from, bytes());
    for (int p = 0; p < state_->size; ++p) {
      if (p == state_->rank || (message() && p != call_.peer)) continue;
      Exchange& e = exchanges_.emplace_back();
      e.peer = p;
      const Header header{call_.kind, call_.type, call_.count, message() ? -1 : call_.peer};
      e.out.resize(sizeof(header));
      std::memcpy(e.out.data(), &header, sizeof(header));
      if (sends()) e.out.insert(e.out.end(), own_.begin(), own_.end());
      if (receives_from(p)) e.in.resize(bytes());
    }
    started_ = true;
  }

  // The data follows only if both headers agree, so that nothing is read as something else.
  bool advance(Exchange& e) {
    const Socket& socket = state_->peers[static_cast<size_t>(e.peer)];
    while (e.sent < e.out.size()) {
      const ssize_t n = socket.send_some(e.out.data() + e.sent, e.out.size() - e.sent);
      if (n < 0) return lost(e.peer);
      if (n == 0) break;
      e.sent += static_cast<size_t>(n);
    }
    while (e.header_got < sizeof(Header)) {
      const ssize_t n = socket.receive_some(reinterpret_cast<char*>(&e.header) + e.header_got,
                                            sizeof(Header) - e.header_got);
      if (n < 0) return lost(e.peer);
      if (n == 0) return false;
      e.header_got += static_cast<size_t>(n);
      if (e.header_got == sizeof(Header) && !agrees(e)) return false;
    }
    while (e.got < e.in.size()) {
      const ssize_t n = socket.receive_some(e.in.data() + e.got, e.in.size() - e.got);
      if (n < 0) return lost(e.peer);
      if (n == 0) return false;
      e.got += static_cast<size_t>(n);
    }
    return e.sent == e.out.size();
  }

  bool agrees(const Exchange& e) {
    const NcclKind wanted = call_.kind == NcclKind::send      ? NcclKind::receive
                            : call_.kind == NcclKind::receive ? NcclKind::send
                                                              : call_.kind;
    const Header own{wanted, call_.type, call_.count, message() ? -1 : call_.peer};
    const bool same = e.header.kind == own.kind && e.header.type == own.type && e.header.count == own.count &&
                      e.header.root == own.root;
    if (!same) {
      state_->fail(ncclInvalidUsage, "rank " + std::to_string(e.peer) + " came with " + words(e.header) +
                                         " where rank " + std::to_string(state_->rank) + " expects " +
                                         words(own));
    }
    return same;
  }

  bool lost(int peer) {
    if (!nccl_tells_of_the_lost()) return false;
    state_->fail(ncclRemoteError, "rank " + std::to_string(peer) + " is gone");
    return false;
  }

  const char* part(int rank) const {
    if (rank == state_->rank) return own_.data();
    for (const Exchange& e : exchanges_) {
      if (e.peer == rank) return e.in.data();
    }
    return nullptr;
  }

  template <class T>
  void sum() {
    for (size_t i = 0; i < call_.count; ++i) {
      float total = 0;
      for (int r = 0; r < state_->size; ++r) {
        T value;
        std::memcpy(&value, part(r) + i * sizeof(T), sizeof(T));
        total = r == 0 ? static_cast<float>(value) : total + static_cast<float>(value);
      }
      const T rounded(total);
      std::memcpy(static_cast<char*>(call_.to) + i * sizeof(T), &rounded, sizeof(T));
    }
  }

  void finish() {
    switch (call_.kind) {
      case NcclKind::all_reduce:
        return call_.type == ncclFloat32 ? sum<float>() : sum<bf16>();
      case NcclKind::all_gather:
        for (int r = 0; r < state_->size; ++r) {
          std::memcpy(static_cast<char*>(call_.to) + static_cast<size_t>(r) * bytes(), part(r), bytes());
        }
        return;
      case NcclKind::broadcast:
      case NcclKind::receive:
        if (call_.peer == state_->rank) {
          std::memmove(call_.to, own_.data(), bytes());
        } else {
          std::memcpy(call_.to, part(call_.peer), bytes());
        }
        return;
      case NcclKind::send:
        return;
    }
  }

  const std::shared_ptr<State> state_;
  const NcclCall call_;
  const bool counted_;
  bool started_ = false;
  std::vector<char> own_;
  std::vector<Exchange> exchanges_;
};

// This runs without the mutex: an eager stream runs the operation at once.
void put_in_stream(const std::shared_ptr<State>& state, const NcclCall& call, cudaStream_t stream) {
  cudaStreamCaptureStatus capturing = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream, &capturing);
  const bool counted = capturing == cudaStreamCaptureStatusNone;
  {
    const std::lock_guard lock(state->mutex);
    if (counted) ++state->unfinished;
    state->streams.insert(stream);
  }
  const auto operation = std::make_shared<Operation>(state, call, counted);
  std::vector<const void*> touches;
  for (const void* p : {call.from, static_cast<const void*>(call.to)}) {
    if (p != nullptr) touches.push_back(p);
  }
  enqueue_steps(
      stream, std::string("ncclOperation ") + name_of(call.kind), [operation] { return operation->step(); },
      touches);
}

}  // namespace

bool NcclRank::make_id(ncclUniqueId& id) {
  Socket listener = Socket::listen();
  if (!listener.open()) return false;
  std::random_device random;
  const IdBytes bytes{(uint64_t{random()} << 32) | random(), listener.port()};
  std::memcpy(&id, &bytes, sizeof(bytes));
  nccl_holds({.ids = 1});
  std::thread(serve_id, std::move(listener), bytes.magic).detach();
  return true;
}

NcclRank::NcclRank(const ncclUniqueId& id, int rank, int size, bool blocking)
    : state_(std::make_shared<State>()) {
  IdBytes bytes;
  std::memcpy(&bytes, &id, sizeof(bytes));
  state_->rank = rank;
  state_->size = size;
  state_->blocking = blocking;
  state_->magic = bytes.magic;
  state_->root_port = bytes.port;
  int device = 0;
  cudaDeviceProp properties{};
  cudaGetDevice(&device);
  cudaGetDeviceProperties(&properties, device);
  std::memcpy(state_->device.data(), properties.uuid.bytes, state_->device.size());
  state_->thread = std::thread([state = state_.get()] { state->run(); });
  nccl_holds({.communicators = 1});
}

NcclRank::~NcclRank() {
  state_->aborted = true;
  state_->thread.join();
  if (state_->call.joinable()) state_->call.join();
  for (const auto& ended : ended_with(state_)) wait_for_recordings(*ended);
  const std::lock_guard lock(state_->mutex);
  state_->peers.clear();
  nccl_holds({.communicators = -1});
}

int NcclRank::size() const { return state_->size; }
bool NcclRank::blocking() const { return state_->blocking; }

ncclResult_t NcclRank::wait_met() {
  ncclResult_t result = ncclInProgress;
  while ((result = ask()) == ncclInProgress) std::this_thread::sleep_for(std::chrono::microseconds(100));
  return result;
}

ncclResult_t NcclRank::wait_finalized() {
  ncclResult_t result = ncclInProgress;
  while ((result = ask()) == ncclInProgress && !state_->aborted)
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  return result;
}

bool NcclRank::ready() const {
  const std::lock_guard lock(state_->mutex);
  return state_->met && !state_->call.joinable() && state_->failed == ncclSuccess;
}

std::string NcclRank::error() const {
  const std::lock_guard lock(state_->mutex);
  return state_->reason;
}

ncclResult_t NcclRank::ask() {
  const std::lock_guard lock(state_->mutex);
  if (state_->failed != ncclSuccess) return state_->failed;
  if (!state_->met || state_->queueing) return ncclInProgress;
  if (state_->call.joinable()) state_->call.join();
  if (!state_->finalizing) return ncclSuccess;
  state_->finalized = state_->finalized || (state_->unfinished == 0 && state_->recorded == 0);
  return state_->finalized ? ncclSuccess : ncclInProgress;
}

ncclResult_t NcclRank::queue(const NcclCall& call, cudaStream_t stream) {
  if (state_->blocking) {
    put_in_stream(state_, call, stream);
    return ncclSuccess;
  }
  const std::lock_guard lock(state_->mutex);
  state_->queueing = true;
  nccl_holds({.threads = 1});
  state_->call = std::thread([state = state_, call, stream] {
    put_in_stream(state, call, stream);
    const std::lock_guard done(state->mutex);
    state->queueing = false;
  });
  return ncclInProgress;
}

void NcclRank::finalize() {
  const std::lock_guard lock(state_->mutex);
  state_->finalizing = true;
}

bool NcclRank::finalized() const {
  const std::lock_guard lock(state_->mutex);
  return state_->finalized;
}

}  // namespace uhd::emulation
