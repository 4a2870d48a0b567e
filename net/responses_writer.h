// Writes the answer of /v1/responses: one JSON object, or its events as they come, in OpenAI's form.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "engine/request.h"
#include "net/api_error.h"
#include "net/tool_calls.h"

namespace uhd {

class ResponsesWriter {
 public:
  // `echo` is a JSON object: what the answer repeats of its call. `stream`: events are written.
  ResponsesWriter(std::string id, std::string model, const std::string& echo, int64_t created, bool stream);
  ~ResponsesWriter();

  // Takes the next of the answer: what it thinks, says and calls. Returns the events to send.
  std::string take(const std::string& thoughts, const ToolSplitter::Parts& answer);
  // The answer has ended. `extension` is a JSON object with what no field of OpenAI's holds. Returns the last
  // events; body() is the answer then.
  std::string end(FinishReason finish, const Usage& usage, int reasoning_tokens,
                  const std::string& extension);
  // It has failed.
  std::string fail(const ApiError& error);
  std::string body() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace uhd
