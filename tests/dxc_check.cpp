// Compiles HLSL as compute shaders of model 6.4 with Direct3D 12's own compiler:
//     dxc_check LIBRARY [FLAG…] FILE.hlsl…
// prints `BAD file: message` for each that it refuses; the exit status is 1 if there are any.
#include "dxcapi.h"
#include <cstdio>
#include <dlfcn.h>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

int main(int count, char** arguments) {
    void* library = count > 1 ? dlopen(arguments[1], RTLD_NOW | RTLD_GLOBAL) : nullptr;
    if (!library) return puts(count > 1 ? dlerror() : "expected LIBRARY FILE…"), 2;
    auto make = reinterpret_cast<DxcCreateInstanceProc>(dlsym(library, "DxcCreateInstance"));
    IDxcCompiler3* compiler = nullptr;
    if (!make || make(CLSID_DxcCompiler, __uuidof(IDxcCompiler3), reinterpret_cast<void**>(&compiler)) < 0)
        return puts("the library has no compiler"), 2;
    std::vector<std::wstring> flags{L"-E", L"main", L"-T", L"cs_6_4", L"-HV", L"2018", L"-no-warnings", L"-Vd", L"-O3"};
    int bad = 0;
    for (int i = 2; i < count; i++) {
        std::string name = arguments[i];
        if (name[0] == '-') {
            flags.emplace_back(name.begin(), name.end());
            continue;
        }
        std::stringstream stream;
        stream << std::ifstream(name).rdbuf();
        std::string text = stream.str();
        DxcBuffer buffer{text.data(), text.size(), DXC_CP_UTF8};
        std::vector<LPCWSTR> pointers;
        for (auto& flag : flags) pointers.push_back(flag.c_str());
        IDxcResult* result = nullptr;
        HRESULT status = compiler->Compile(&buffer, pointers.data(), pointers.size(), nullptr, __uuidof(IDxcResult),
                                           reinterpret_cast<void**>(&result));
        if (status >= 0) result->GetStatus(&status);
        if (status >= 0) continue;
        bad++;
        IDxcBlobUtf8* errors = nullptr;
        if (result)
            result->GetOutput(DXC_OUT_ERRORS, __uuidof(IDxcBlobUtf8), reinterpret_cast<void**>(&errors), nullptr);
        printf("BAD %s: %.400s\n", name.c_str(), errors ? errors->GetStringPointer() : "?");
    }
    return bad > 0;
}
