// Renders a Helm chart as Helm does, as far as ours uses it: Go's templates with the functions of sprig, and
// include, required, toYaml and fail. It has no cluster to look into, no dependencies, no hooks.
//
// chart FOLDER RELEASE NAMESPACE < values.json > manifests.json
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"gopkg.in/yaml.v3"
)

type object = map[string]any

func main() {
	manifests, err := render(os.Args[1], os.Args[2], os.Args[3])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(manifests)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Every manifest that is not empty, by the file of its template.
func render(folder, release, namespace string) (map[string]string, error) {
	var chart, values, given object
	if err := readYaml(filepath.Join(folder, "Chart.yaml"), &chart); err != nil {
		return nil, err
	}
	if err := readYaml(filepath.Join(folder, "values.yaml"), &values); err != nil {
		return nil, err
	}
	if err := json.NewDecoder(os.Stdin).Decode(&given); err != nil {
		return nil, err
	}
	all := template.New("").Option("missingkey=zero").Funcs(sprig.TxtFuncMap())
	all.Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var text bytes.Buffer
			err := all.ExecuteTemplate(&text, name, data)
			return text.String(), err
		},
		"required": func(said string, value any) (any, error) {
			if value == nil || value == "" {
				return nil, errors.New(said)
			}
			return value, nil
		},
		"toYaml": func(value any) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
	})
	files, err := filepath.Glob(filepath.Join(folder, "templates", "*"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if _, err := all.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return nil, err
		}
	}
	scope := object{
		"Values":  merged(values, given),
		"Chart":   capitalised(chart),
		"Release": object{"Name": release, "Namespace": namespace, "Service": "Helm"},
	}
	manifests := map[string]string{}
	for _, file := range files {
		name := filepath.Base(file)
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		var text bytes.Buffer
		if err := all.ExecuteTemplate(&text, name, scope); err != nil {
			return nil, err
		}
		if strings.TrimSpace(text.String()) != "" {
			manifests[name] = text.String()
		}
	}
	return manifests, nil
}

func readYaml(path string, into *object) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return yaml.Unmarshal(text, into)
}

// What is given outweighs the defaults, map by map; null takes a default away.
func merged(defaults, given object) object {
	result := object{}
	for key, value := range defaults {
		result[key] = value
	}
	for key, value := range given {
		inner, isMap := value.(object)
		below, wasMap := result[key].(object)
		if value == nil {
			delete(result, key)
		} else if isMap && wasMap {
			result[key] = merged(below, inner)
		} else {
			result[key] = value
		}
	}
	return result
}

// Helm shows the chart's keys under Go's names: .Chart.AppVersion.
func capitalised(chart object) object {
	result := object{}
	for key, value := range chart {
		result[strings.ToUpper(key[:1])+key[1:]] = value
	}
	return result
}
