// Checks that recorded decode steps give the logits of the same steps run one operation after the other,
// while sequences grow over page borders, batches change, and under every order of threads. The tests of the
// test leave one input as it was when the step was recorded.
#include "engine/llm/decode_graphs.h"
#include "model/language/step_memory.h"

#include <gmock/gmock.h>

#include <numeric>

#include "cluster/host/local_communicator.h"
#include "cluster/host/staged_communicator.h"
#include "emulation/cuda.h"
#include "kernels/plugin.h"
#include "tests/cuda/device_control.h"
#include "tests/model/golden_model.h"
#include "tests/support/goldens.h"

namespace uhd {
namespace {

constexpr int kPage = 8;
constexpr int kContext = 40;
constexpr int kMostSequences = 6;
constexpr int kSequencePages = kContext / kPage;
constexpr int32_t kSparePage = kMostSequences * kSequencePages;
constexpr StepLimits kLimits{32, kMostSequences, kContext, kPage};

// Sequence s has pages of its own, not in order; its ids depend on s and the position alone.
int32_t page_of(int s, int index) { return s + kMostSequences * ((index * 3 + s) % kSequencePages); }
int32_t id_of(int s, int position) { return 5 + (s * 31 + position * 17) % 200; }

void add_tokens(ForwardInput& in, int s, int first, int count) {
  if (in.q_offsets.empty()) in.q_offsets.push_back(0);
  for (int position = first; position < first + count; ++position) {
    in.ids.push_back(id_of(s, position));
    in.positions.push_back(position);
    in.slots.push_back(page_of(s, position / kPage) * kPage + position % kPage);
  }
  in.q_offsets.push_back(in.q_offsets.back() + count);
  in.kv_lengths.push_back(first + count);
}

void add_pages(ForwardInput& in, const std::vector<int>& sequences) {
  const int longest = *std::max_element(in.kv_lengths.begin(), in.kv_lengths.end());
  in.max_pages = (longest + kPage - 1) / kPage;
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int used = (in.kv_lengths[i] + kPage - 1) / kPage;
    for (int p = 0; p < in.max_pages; ++p) in.page_table.push_back(p < used ? page_of(sequences[i], p) : 0);
  }
}

class Model {
 public:
  explicit Model(BackendOptions options)
      : backend_(make_cuda_backend(options)),
        group_(make_staged_communicator(*backend_, std::move(make_local_communicators(1)[0]))),
        golden_(goldens_directory() / "models" / "uhd-v1-tiny"),
        llama_(golden_.config, golden_.checkpoint, *backend_, *group_, options.compute, kContext),
        cache_(*backend_, llama_.config().layers, llama_.shard().kv_heads, llama_.config().head_dim,
               kSparePage + 1, kPage, options.compute == WeightFormat::f32 ? DType::f32 : DType::bf16),
        workspace_(*backend_,
                   step_bytes(llama_.config(), llama_.shard(), kLimits, backend_->activation_dtype())),
        drawn_memory_(backend_->allocate(kMostSequences * sizeof(int32_t))),
        graphs_(*backend_, *group_, kLimits, kSparePage) {}

  // Prompts of 5, 6, 7, ... tokens.
  void prefill() {
    for (int s = 0; s < kMostSequences; ++s) {
      ForwardInput in;
      add_tokens(in, s, 0, 5 + s);
      add_pages(in, {s});
      const Workspace::Scope scope(workspace_);
      llama_.forward(in, {}, cache_, workspace_);
      lengths_.push_back(5 + s);
    }
  }

  // The next token of each of these sequences; the ids come from the device, in another order each time.
  ForwardInput decode(const std::vector<int>& sequences) {
    ForwardInput in;
    std::vector<int32_t> drawn(kMostSequences, -1);
    const auto count = static_cast<int32_t>(sequences.size());
    for (int32_t i = 0; i < count; ++i) {
      const int s = sequences[static_cast<size_t>(i)];
      add_tokens(in, s, lengths_[static_cast<size_t>(s)]++, 1);
      in.sample_at.push_back(i);
      const int32_t at = (i + steps_) % count;
      drawn[static_cast<size_t>(at)] = std::exchange(in.ids.back(), 0);
      in.drawn_at.push_back(at);
    }
    ++steps_;
    add_pages(in, sequences);
    backend_->upload(drawn_memory_.as(DType::i32, {kMostSequences}),
                     Tensor::of(drawn.data(), {kMostSequences}));
    return in;
  }

  // `spoil` may change the inputs on the device before they are used.
  std::vector<float> run(const ForwardInput& step, const std::function<void(const StepInputs&)>& spoil = {}) {
    const ForwardInput* padded = graphs_.padded(step);
    const ForwardInput& in = padded != nullptr ? *padded : step;
    const Workspace::Scope scope(workspace_);
    const StepInputs inputs =
        llama_.upload(in, {}, drawn_memory_.as(DType::i32, {kMostSequences}), cache_, workspace_);
    const Tensor logits = workspace_.take(DType::f32, {inputs.sample_at.rows(), llama_.shard().ids});
    if (spoil) spoil(inputs);
    const auto queue = [&] { llama_.compute(logits, inputs, cache_, workspace_); };
    if (padded != nullptr) {
      graphs_.run(inputs.ids.rows(), 0, queue);
    } else {
      queue();
    }
    return host_floats(*backend_, logits.slice_rows(0, static_cast<int64_t>(step.sample_at.size())));
  }

  Backend& backend() { return *backend_; }
  Communicator& group() { return *group_; }
  const DecodeGraphs& graphs() const { return graphs_; }
  const ForwardInput* padded(const ForwardInput& in) { return graphs_.padded(in); }

 private:
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Communicator> group_;
  GoldenModel golden_;
  Llama llama_;
  KvCache cache_;
  Workspace workspace_;
  DeviceBuffer drawn_memory_;
  DecodeGraphs graphs_;
  std::vector<int> lengths_;
  int steps_ = 0;
};

BackendOptions options(bool graphs, WeightFormat compute = WeightFormat::f32) {
  return {.kind = "cuda", .graphs = graphs, .compute = compute};
}

class DecodeGraph : public testing::TestWithParam<std::string> {
 protected:
  DecodeGraph() { choose_device_order(GetParam()); }
  ~DecodeGraph() override {
    EXPECT_EQ(emulation::failure(), "");
    choose_device_order("forward");
  }
};

// Lengths go over the borders at 8 and 16 tokens.
TEST_P(DecodeGraph, GivesTheLogitsOfOneOperationAfterTheOther) {
  Model recorded(options(true)), plain(options(false));
  recorded.prefill();
  plain.prefill();
  const std::vector<std::vector<int>> batches{{0, 1, 2},    {2, 0, 1}, {0, 1, 2},          {3},
                                              {0, 1, 2, 3}, {4, 5},    {0, 1, 2, 3, 4, 5}, {5, 2, 1},
                                              {1, 2, 5},    {2}};
  for (const auto& batch : batches) {
    const std::vector<float> got = recorded.run(recorded.decode(batch));
    EXPECT_EQ(got, plain.run(plain.decode(batch))) << "a step of " << batch.size() << " sequences";
  }
  EXPECT_EQ(recorded.graphs().recorded(), 4u);  // of 1, 2, 4 and 6 rows
  EXPECT_EQ(plain.graphs().recorded(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Orders, DecodeGraph, testing::ValuesIn(device_orders()),
                         [](const auto& test) { return test.param; });

// In bf16 attention takes the tensor cores, with splits for the longest context.
TEST(DecodeGraphs, GiveTheSameLogitsInBf16) {
  Model recorded(options(true, WeightFormat::bf16)), plain(options(false, WeightFormat::bf16));
  recorded.prefill();
  plain.prefill();
  for (int step = 0; step < 5; ++step) {
    const std::vector<float> got = recorded.run(recorded.decode({0, 1, 3}));
    EXPECT_EQ(got, plain.run(plain.decode({0, 1, 3})));
  }
}

// Does what a step would do if one of its inputs were part of the recording.
TEST(DecodeGraphs, AnInputThatStaysAsItWasRecordedIsNoticed) {
  using Array = std::pair<std::vector<int32_t> ForwardInput::*, Tensor (*)(const StepInputs&)>;
  const std::vector<std::pair<std::string, Array>> arrays{
      {"positions", {&ForwardInput::positions, [](const StepInputs& in) { return in.positions; }}},
      {"slots", {&ForwardInput::slots, [](const StepInputs& in) { return in.slots; }}},
      {"drawn_at", {&ForwardInput::drawn_at, [](const StepInputs& in) { return in.drawn_at; }}},
      {"kv_lengths", {&ForwardInput::kv_lengths, [](const StepInputs& in) { return in.spans.kv_lengths; }}},
      {"page_table",
       {&ForwardInput::page_table,
        [](const StepInputs& in) { return in.spans.page_table.reshaped({in.spans.page_table.elements()}); }}},
  };
  Model recorded(options(true)), plain(options(false));
  recorded.prefill();
  plain.prefill();
  // Different sequences of equal number, and every array changes.
  const ForwardInput first = recorded.decode({0, 1});
  const ForwardInput old = *recorded.padded(first);
  EXPECT_EQ(recorded.run(first), plain.run(plain.decode({0, 1})));
  for (const auto& [name, array] : arrays) {
    const std::vector<int32_t>& values = old.*array.first;
    const auto stale = [&](const StepInputs& inputs) {
      const Tensor place = array.second(inputs);
      recorded.backend().upload(place, Tensor::of(values.data(), {static_cast<int64_t>(values.size())}));
    };
    const std::vector<float> want = plain.run(plain.decode({3, 4}));
    const ForwardInput step = recorded.decode({3, 4});
    EXPECT_NE(recorded.run(step, stale), want) << name;
    EXPECT_EQ(recorded.run(step), want) << name;  // and the cache is right for the next array
  }
  EXPECT_EQ(recorded.graphs().recorded(), 1u);
}

TEST(DecodeGraphs, TakeStepsOfSingleTokensThatAllSampleOnly) {
  Model model(options(true));
  ForwardInput prompt;
  add_tokens(prompt, 0, 0, 3);
  add_pages(prompt, {0});
  EXPECT_EQ(model.padded(prompt), nullptr);
  ForwardInput chunk;
  add_tokens(chunk, 0, 0, 1);
  add_pages(chunk, {0});
  EXPECT_EQ(model.padded(chunk), nullptr) << "nothing is sampled";
  chunk.sample_at = {0};
  ASSERT_NE(model.padded(chunk), nullptr);
  EXPECT_EQ(model.padded(chunk)->page_table.size(), static_cast<size_t>(kSequencePages));
  chunk.visual_at = {0};
  chunk.visual_rows = {0};
  EXPECT_EQ(model.padded(chunk), nullptr) << "a visual row";
}

// Rows are added that write where no sequence reads.
TEST(DecodeGraphs, PadToTheNextSize) {
  Model model(options(true));
  ForwardInput in;
  for (int s = 0; s < 3; ++s) {
    add_tokens(in, s, 9, 1);
    in.sample_at.push_back(s);
  }
  add_pages(in, {0, 1, 2});
  const ForwardInput padded = *model.padded(in);
  EXPECT_THAT(padded.q_offsets, testing::ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(padded.kv_lengths, testing::ElementsAre(10, 10, 10, 1));
  EXPECT_THAT(padded.sample_at, testing::ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(padded.drawn_at, testing::ElementsAre(-1, -1, -1, -1));
  EXPECT_EQ(padded.slots.back(), kSparePage * kPage);
  EXPECT_EQ(padded.max_pages, kSequencePages);
  ASSERT_EQ(padded.page_table.size(), size_t{4} * kSequencePages);
  EXPECT_EQ(padded.page_table[kSequencePages], page_of(1, 0));
  EXPECT_EQ(padded.page_table[kSequencePages + 1], page_of(1, 1));
  EXPECT_EQ(padded.page_table[size_t{3} * kSequencePages], kSparePage);
}

TEST(Recordings, RefuseWhatIsNoOperation) {
  const auto backend = make_cuda_backend(options(true));
  const DeviceBuffer memory = backend->allocate(64);
  const Tensor x = memory.as(DType::f32, {4});
  std::vector<float> values(4, 1.0f);
  const Tensor host = Tensor::of(values.data(), {4});
  const auto refused = [&](const std::function<void()>& call) {
    EXPECT_THROW(backend->record(call), Error);
    backend->upload(x, host);  // the stream goes on
    backend->synchronize();
  };
  refused([&] { backend->upload(x, host); });
  refused([&] { backend->download(host, x); });
  refused([&] { backend->synchronize(); });
  refused([&] { backend->allocate(4); });
  refused([&] { backend->record([] {}); });
  EXPECT_EQ(make_cuda_backend(options(false))->record([] { ADD_FAILURE() << "called"; }), nullptr);
  EXPECT_EQ(make_backend({.threads = 1})->record([] { ADD_FAILURE() << "called"; }), nullptr);
}

// Streams are late: the result must be there when wait() returns, and nothing else was waited for.
TEST(Readbacks, BringWhatWasQueuedBeforeThem) {
  const auto backend = make_cuda_backend(options(true));
  const DeviceBuffer memory = backend->allocate(64);
  const Tensor x = memory.as(DType::i32, {3});
  const auto first = backend->make_readback(64), second = backend->make_readback(64);
  const auto put = [&](int32_t v) {
    const std::vector<int32_t> values{v, v + 1, v + 2};
    backend->upload(x, Tensor::of(values.data(), {3}));
  };
  const auto values = [](Tensor t) { return std::vector<int32_t>(t.data<int32_t>(), t.data<int32_t>() + 3); };
  put(10);
  first->begin(x);
  put(20);
  second->begin(x);
  put(30);
  EXPECT_EQ(values(first->wait()), (std::vector<int32_t>{10, 11, 12}));
  EXPECT_EQ(values(second->wait()), (std::vector<int32_t>{20, 21, 22}));
  first->begin(x);
  EXPECT_EQ(values(first->wait()), (std::vector<int32_t>{30, 31, 32}));
  EXPECT_THROW(first->begin(Tensor(x.raw(), DType::i32, {17})), Error);
}

}  // namespace
}  // namespace uhd
