// A ToolForm says how a model writes calls of tools, as its chat template shows it.
#pragma once

#include <cstdint>

namespace uhd {

enum class ToolForm : uint8_t {
  none,    // the template knows no tools
  hermes,  // <tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>: Hermes, Qwen2.5, Qwen3
  llama3,  // {"name": ..., "parameters": {...}} as the whole answer: Llama 3.1 and later
};

}  // namespace uhd
