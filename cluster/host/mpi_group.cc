#include "cluster/host/mpi_group.h"

#define OMPI_SKIP_MPICXX 1
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <string_view>

#include "base/error.h"

namespace uhd {
namespace {

void check_mpi(int code, std::string_view call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(message(call, ": ", std::string_view(text, static_cast<size_t>(length))));
}

int count_of(size_t bytes) {
  check(bytes <= static_cast<size_t>(INT32_MAX), "a message of ", bytes, " bytes is too large for MPI");
  return static_cast<int>(bytes);
}

// Returns the value of an environment variable as a number, or -1. Launchers describe in the environment what
// they started.
long environment_number(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return -1;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return end != text && *end == '\0' ? value : -1;
}

}  // namespace

bool launched_by_mpi() {
  for (const char* size : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {
    if (const long n = environment_number(size); n > 0) return n > 1;
  }
  // srun --mpi=pmix names the rank only; Slurm itself says how many there are.
  return environment_number("PMIX_RANK") >= 0 && environment_number("SLURM_STEP_NUM_TASKS") != 1;
}

void start_mpi() {
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  require(provided >= MPI_THREAD_SERIALIZED, "this MPI supports no program with threads (level ", provided,
          ")");
}

void leave_mpi() { MPI_Finalize(); }

void abort_mpi(int status) {
  MPI_Abort(MPI_COMM_WORLD, status);
  std::_Exit(status);
}

struct MpiRequest::State {
  MPI_Request request = MPI_REQUEST_NULL;
  std::vector<std::byte> bytes;
  bool receives = false;
  std::shared_ptr<MpiGroup::Handle> group;
};

struct MpiGroup::Handle {
  MPI_Comm comm = MPI_COMM_NULL;
  int rank = 0;
  int size = 0;
  // Requests that nobody waits for any more.
  std::list<std::unique_ptr<MpiRequest::State>> orphans;

  static std::shared_ptr<Handle> of(MPI_Comm comm) {
    auto handle = std::make_shared<Handle>();
    handle->comm = comm;
    check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check_mpi(MPI_Comm_rank(comm, &handle->rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(comm, &handle->size), "MPI_Comm_size");
    return handle;
  }

  void sweep() {
    orphans.remove_if([](const std::unique_ptr<MpiRequest::State>& state) {
      int done = 0;
      return MPI_Test(&state->request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS || done != 0;
    });
  }
};

MpiRequest::MpiRequest() = default;
MpiRequest::MpiRequest(std::unique_ptr<State> state) : state_(std::move(state)) {}
MpiRequest::MpiRequest(MpiRequest&&) noexcept = default;
MpiRequest& MpiRequest::operator=(MpiRequest&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
MpiRequest::~MpiRequest() {
  if (state_ == nullptr) return;
  // The group keeps the state, which must not keep the group.
  const auto group = std::move(state_->group);
  group->orphans.push_back(std::move(state_));
}

std::optional<std::vector<std::byte>> MpiRequest::test() {
  check(pending(), "this request has ended");
  int done = 0;
  MPI_Status status;
  check_mpi(MPI_Test(&state_->request, &done, &status), "MPI_Test");
  if (done == 0) return std::nullopt;
  const auto state = std::move(state_);
  if (!state->receives) return std::vector<std::byte>();
  return std::move(state->bytes);
}

MpiGroup MpiGroup::world() {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
  return MpiGroup(Handle::of(comm));
}

MpiGroup MpiGroup::split(int colour) const {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(handle_->comm, colour, rank(), &comm), "MPI_Comm_split");
  return MpiGroup(Handle::of(comm));
}

MpiGroup MpiGroup::duplicate() const {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(handle_->comm, &comm), "MPI_Comm_dup");
  return MpiGroup(Handle::of(comm));
}

int MpiGroup::rank() const { return handle_->rank; }
int MpiGroup::size() const { return handle_->size; }

void MpiGroup::all_gather(void* out, const void* x, size_t bytes) const {
  const int n = count_of(bytes);
  check_mpi(MPI_Allgather(x, n, MPI_BYTE, out, n, MPI_BYTE, handle_->comm), "MPI_Allgather");
}

void MpiGroup::all_gather_in_place(void* x, size_t bytes) const {
  check_mpi(MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, x, count_of(bytes), MPI_BYTE, handle_->comm),
            "MPI_Allgather");
}

void MpiGroup::all_to_all(void* out, const void* x, size_t bytes) const {
  const int n = count_of(bytes);
  check_mpi(MPI_Alltoall(x, n, MPI_BYTE, out, n, MPI_BYTE, handle_->comm), "MPI_Alltoall");
}

void MpiGroup::broadcast(void* x, size_t bytes, int root) const {
  check_mpi(MPI_Bcast(x, count_of(bytes), MPI_BYTE, root, handle_->comm), "MPI_Bcast");
}

void MpiGroup::barrier() const { check_mpi(MPI_Barrier(handle_->comm), "MPI_Barrier"); }

void MpiGroup::send(const void* x, size_t bytes, int peer, int tag) const {
  check_mpi(MPI_Send(x, count_of(bytes), MPI_BYTE, peer, tag, handle_->comm), "MPI_Send");
}

void MpiGroup::receive(void* x, size_t bytes, int peer, int tag) const {
  MPI_Status status;
  check_mpi(MPI_Recv(x, count_of(bytes), MPI_BYTE, peer, tag, handle_->comm, &status), "MPI_Recv");
  int got = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &got), "MPI_Get_count");
  check(static_cast<size_t>(got) == bytes, "rank ", peer, " sent ", got, " bytes, ", bytes, " were expected");
}

std::optional<size_t> MpiGroup::probe(int peer, int tag) const {
  int there = 0;
  MPI_Status status;
  check_mpi(MPI_Iprobe(peer, tag, handle_->comm, &there, &status), "MPI_Iprobe");
  if (there == 0) return std::nullopt;
  int bytes = 0;
  check_mpi(MPI_Get_count(&status, MPI_BYTE, &bytes), "MPI_Get_count");
  return static_cast<size_t>(bytes);
}

MpiRequest MpiGroup::start_send(std::vector<std::byte> bytes, int peer, int tag) const {
  handle_->sweep();
  auto state = std::make_unique<MpiRequest::State>();
  state->bytes = std::move(bytes);
  state->group = handle_;
  check_mpi(MPI_Isend(state->bytes.data(), count_of(state->bytes.size()), MPI_BYTE, peer, tag, handle_->comm,
                      &state->request),
            "MPI_Isend");
  return MpiRequest(std::move(state));
}

MpiRequest MpiGroup::start_receive(size_t bytes, int peer, int tag) const {
  handle_->sweep();
  auto state = std::make_unique<MpiRequest::State>();
  state->bytes.resize(bytes);
  state->receives = true;
  state->group = handle_;
  check_mpi(
      MPI_Irecv(state->bytes.data(), count_of(bytes), MPI_BYTE, peer, tag, handle_->comm, &state->request),
      "MPI_Irecv");
  return MpiRequest(std::move(state));
}

}  // namespace uhd
