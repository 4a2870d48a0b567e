#include "kernels/cuda/graph.h"

#include "kernels/cuda/check.h"

namespace uhd::cuda {
namespace {

// Ends the capture, however `queue` ended.
cudaGraph_t captured(cudaStream_t stream, const std::function<void()>& queue) {
  // Other threads of this process may go on allocating.
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "beginning to record");
  cudaGraph_t graph = nullptr;
  try {
    queue();
  } catch (...) {
    if (cudaStreamEndCapture(stream, &graph) == cudaSuccess) cudaGraphDestroy(graph);
    cudaGetLastError();  // not sticky: the next launch must not find it
    throw;
  }
  check_cuda(cudaStreamEndCapture(stream, &graph), "recording");
  return graph;
}

}  // namespace

Graph::Graph(cudaStream_t stream, const std::function<void()>& queue) : stream_(stream) {
  const cudaGraph_t graph = captured(stream, queue);
  const cudaError_t status = cudaGraphInstantiate(&executable_, graph, 0);
  cudaGraphDestroy(graph);
  check_cuda(status, "making a graph");
  // Does the work of the first launch now. The graph is destroyed before a throw, because an unfinished
  // constructor has no destructor.
  const cudaError_t uploaded = cudaGraphUpload(executable_, stream);
  if (uploaded != cudaSuccess) cudaGraphExecDestroy(executable_);
  check_cuda(uploaded, "bringing a graph to the device");
}

// A launch under way is finished first by the runtime.
Graph::~Graph() { cudaGraphExecDestroy(executable_); }

void Graph::run() { check_cuda(cudaGraphLaunch(executable_, stream_), "launching a graph"); }

}  // namespace uhd::cuda
