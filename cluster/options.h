// ClusterOptions holds the configuration's settings of the ranks.
#pragma once

#include <string>

namespace uhd {

struct ClusterOptions {
  int tensor_parallel = 1;  // LLM ranks: 1, 2, 4, 8 where the model's heads divide
  int encoder_count = 0;    // encoder ranks; 0: the LLM ranks encode themselves
  std::string role =
      "auto";          // auto: by rank, LLM ranks first | llm | encoder: what this program was launched as
  std::string leader;  // role encoder in a job of its own: host:port of the leader's control port
  std::string control_host = "127.0.0.1";  // the host on which the leader listens for encoders
  int control_port = 0;       // 0: any free port (only encoders of the same job can then find it)
  std::string secret_file;    // shared by leader and encoders; required unless control_host is loopback
  std::string link = "auto";  // the way of visual rows: auto | mpi | tcp
  // Sums small tensors of LLM ranks through each other's device memory: off | on | auto, where it measures
  // faster than NCCL (cluster/nccl/ipc_all_reduce.h).
  std::string ipc_all_reduce = "off";
  double heartbeat_s = 1;
  double lost_after_s = 5;       // an encoder, or a leader, that is quiet for so long is lost
  double job_deadline_s = 60;    // an encoder that takes longer over one slice is stuck
  double step_deadline_s = 120;  // LLM ranks that take longer over one step are stuck: the job ends
};

// Throws an Error that names the setting and the value found.
void check_options(const ClusterOptions& options);

}  // namespace uhd
