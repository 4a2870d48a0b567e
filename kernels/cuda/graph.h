// A Graph holds operations captured from a stream, to be launched again as one.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

#include "kernels/backend.h"

namespace uhd::cuda {

// The work that `queue` puts on the stream goes into the graph and does not run. Collectives on the stream
// are part of it: then every rank of the group records and runs the same, and the graph is destroyed before
// the group. The stream's thread uses it.
class Graph final : public Recording {
 public:
  Graph(cudaStream_t stream, const std::function<void()>& queue);
  ~Graph() override;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void run() override;

 private:
  const cudaStream_t stream_;
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace uhd::cuda
